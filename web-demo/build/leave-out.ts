/**
 * A Vite plugin that leaves out what the page never loads. The shop is an edge that reaches hosts over WebSockets: code of
 * hosts in a page, and of meeting other pages, waits in chunks that nobody asks for, and which a page that works offline
 * would keep all the same.
 */
import type { Plugin, Rolldown } from "vite";

/** `modules`: ends of the paths of modules that are imported lazily, and here never. */
export function leaveOut(modules: readonly string[]): Plugin {
  return {
    name: "everwrite-leave-out",
    generateBundle(_options, bundle) {
      const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
      const isLeftOut = ({ facadeModuleId }: Rolldown.OutputChunk): boolean =>
        modules.some((end) => facadeModuleId?.endsWith(end) === true);
      const left = modules.filter((end) => !chunks.some(({ facadeModuleId }) => facadeModuleId?.endsWith(end)));
      if (left.length > 0) this.error(`no chunk to leave out for ${left.join(", ")}: has it another name now?`);
      const kept = new Set(chunks.filter(({ isEntry }) => isEntry));
      // A set goes on with what is added while it is walked.
      for (const { imports, dynamicImports } of kept) {
        for (const name of [...imports, ...dynamicImports]) {
          const chunk = chunks.find(({ fileName }) => fileName === name);
          if (chunk !== undefined && !isLeftOut(chunk)) kept.add(chunk);
        }
      }
      for (const chunk of chunks) if (!kept.has(chunk)) delete bundle[chunk.fileName];
    },
  };
}
