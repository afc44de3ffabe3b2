/** Planted bugs: text of a built module exchanged on its way into a page. */
import type { Plugin } from "vite";

export interface PlantedBug {
  readonly name: string;
  /** End of the built module's path. */
  readonly file: string;
  /** Must occur exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** A page with it does not build where the text is not found. */
export function plant({ name, file, find, replace }: PlantedBug): Plugin {
  let times = 0;
  return {
    name: `planted: ${name}`,
    transform(code, id) {
      if (!id.endsWith(file)) return undefined;
      times = code.split(find).length - 1;
      return { code: code.replace(find, () => replace), map: null };
    },
    buildEnd() {
      if (times !== 1) throw new Error(`"${name}": its text occurs ${times} times in ${file}`);
    },
  };
}
