/**
 * The page's side of a browser test: an object whose functions the test calls by name.
 */

/** Arguments and results cross by value: numbers, strings, arrays, plain objects, typed arrays. */
export type PageFunctions = Readonly<Record<string, (...args: never[]) => unknown>>;

/** Where the page keeps them. */
export const exposedAs = "everwriteTest";

/** Called once, at the end of a page's entry, with what its test may call. */
export function expose(functions: PageFunctions): void {
  Object.assign(globalThis, { [exposedAs]: functions });
}
