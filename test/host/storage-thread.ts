/** A thread of the storage tests: opens the directory that it is given, says how that went, and keeps it until it is ended. */
import { parentPort, workerData } from "node:worker_threads";
import { StorageError } from "../../core/ports.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";

const tell = (answer: string): void => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin
  parentPort!.postMessage(answer);
};
try {
  await openClassicStorage({ directory: workerData as string });
  tell("opened");
} catch (error: unknown) {
  if (!(error instanceof StorageError)) throw error;
  tell(error.kind);
}
setInterval(() => {}, 60_000);
