/** The smallest application: a store opened as an edge, a put and a get. */
import { openStore } from "../../../core/browser/index.ts";
import { expose } from "../expose.ts";

expose({
  async remember(seeds: readonly string[], name: string, value: string) {
    await using store = await openStore<{ notes: string }>({ name: "minimal", seeds });
    const notes = store.bucket("notes");
    await notes.put(name, value);
    return (await notes.get(name)).value;
  },
});
