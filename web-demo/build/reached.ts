/** Which files of a build a page comes to load, if it never asks for some modules. */
import type { Rolldown } from "vite";

/**
 * Names of the chunks that the entries lead to, but through `closed`: ends of the paths of modules that are imported lazily.
 * @throws Error where there is no chunk for one of them: it has another name now
 */
export function reachedWithout(closed: readonly string[], bundle: Rolldown.OutputBundle): ReadonlySet<string> {
  const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
  const isOf = ({ facadeModuleId }: Rolldown.OutputChunk, end: string): boolean =>
    facadeModuleId?.endsWith(end) === true;
  const unknown = closed.filter((end) => !chunks.some((chunk) => isOf(chunk, end)));
  if (unknown.length > 0) throw new Error(`no chunk is of ${unknown.join(", ")}`);
  const reached = new Set(chunks.filter(({ isEntry }) => isEntry));
  // A set goes on with what is added while it is walked.
  for (const { imports, dynamicImports } of reached) {
    for (const name of [...imports, ...dynamicImports]) {
      const chunk = chunks.find(({ fileName }) => fileName === name);
      if (chunk !== undefined && !closed.some((end) => isOf(chunk, end))) reached.add(chunk);
    }
  }
  return new Set([...reached].map(({ fileName }) => fileName));
}
