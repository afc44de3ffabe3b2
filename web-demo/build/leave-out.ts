/** A Vite plugin that leaves out what the page never loads: chunks that nobody asks for. */
import type { Plugin } from "vite";
import { reachedWithout } from "./reached.ts";

/** `modules`: ends of the paths of modules that are imported lazily, and here never. */
export function leaveOut(modules: readonly string[]): Plugin {
  return {
    name: "everwrite-leave-out",
    generateBundle(_options, bundle) {
      const kept = reachedWithout(modules, bundle);
      for (const file of Object.values(bundle)) {
        if (file.type === "chunk" && !kept.has(file.fileName)) delete bundle[file.fileName];
      }
    },
  };
}
