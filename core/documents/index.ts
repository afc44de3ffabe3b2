/**
 * `everwrite/yjs`: Yjs documents other than by `Store.doc`. Yjs is loaded with it.
 */
export { EverwriteProvider } from "./provider.ts";
export { yjs } from "./rule.ts";
