/** The page of the harness's own test. */
import { openDB } from "idb";
import { systemClock, systemRandom } from "../../../core/libp2p/system-ports.ts";
import { expose } from "../expose.ts";

const openGreetings = () =>
  openDB("greetings", 1, { upgrade: (database) => void database.createObjectStore("greetings") });

const functions = {
  greet: async (name: string, count: number) => ({ text: `hello ${name}`, chance: systemRandom.bytes(count).length }),
  passTime: (ms: number) =>
    new Promise<number>((resolve) => {
      const beginMs = systemClock.now();
      systemClock.after(ms, () => resolve(systemClock.now() - beginMs));
    }),
  fail: () => {
    throw new RangeError("as asked");
  },
  failLater() {
    setTimeout(() => {
      throw new Error("out of hand");
    });
  },
  /** On the disk when it resolves. */
  async remember(value: string) {
    const transaction = (await openGreetings()).transaction("greetings", "readwrite", { durability: "strict" });
    await Promise.all([transaction.store.put(value, "greeting"), transaction.done]);
  },
  remembered: async (): Promise<unknown> => (await openGreetings()).get("greetings", "greeting"),
  tell: async (path: string, text: string) => (await fetch(path, { method: "POST", body: text })).text(),
};

export type Functions = typeof functions;

expose(functions);
