/** IndexedDB in memory as this process's own, for unit tests: not for durability, quota or large databases. */
import * as fake from "fake-indexeddb";

export function installFakeIndexedDb(): void {
  Object.assign(globalThis, fake);
  // Without this it takes an empty key for a detached buffer, which no browser does.
  for (const { prototype } of [ArrayBuffer, Uint8Array]) {
    Object.defineProperty(prototype, "detached", { configurable: true, get: () => false });
  }
}
