/** Three ways to acknowledge a write before it is on the disk. */
import type { PlantedBug } from "./plant.ts";

/** In built text, so that the pages differ from the product in nothing else. */
export const earlyAcknowledgements: readonly PlantedBug[] = [
  {
    name: "acknowledged when queued",
    file: "core/storage/commit-queue.js",
    find: "if (this.#isDue())\n                this.#flushing ??= this.#flush();\n        });",
    replace: "if (this.#isDue()) this.#flushing ??= this.#flush(); setTimeout(resolve); });",
  },
  {
    name: "acknowledged when a request has succeeded",
    file: "core/browser/indexeddb-transaction.js",
    find: "try {\n        request(transaction);",
    replace: `const first = transaction.objectStore(names[0]).getKey(new Uint8Array());
      if (first) {
        request(transaction);
        transaction.commit();
        return new Promise((resolve) => { first.onsuccess = () => resolve(); });
      }
      try {
        request(transaction);`,
  },
  {
    name: "acknowledged when the commit has been asked for",
    file: "core/browser/indexeddb-transaction.js",
    find: "return completion(transaction);",
    replace: "return new Promise((resolve) => setTimeout(resolve));",
  },
];
