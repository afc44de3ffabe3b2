/** How the last write to the disk went, and what its failures are called outside. */
import { StoreError } from "../errors.ts";
import { StorageError } from "../ports.ts";
import { reasonOf } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";

export class StorageHealth {
  readonly #telemetry: Telemetry;
  #state: "ok" | "full" | "failed" = "ok";

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  get state(): "ok" | "full" | "failed" {
    return this.#state;
  }

  succeeded(): void {
    this.#become("ok", "writes succeed again");
  }

  failed(error: unknown): void {
    const isFull = error instanceof StorageError && error.kind === "full";
    this.#become(isFull ? "full" : "failed", reasonOf(error));
  }

  #become(state: "ok" | "full" | "failed", reason: string): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#telemetry.event({ kind: "storage", state, reason });
  }
}

export function storeErrorOf(error: unknown): unknown {
  if (!(error instanceof StorageError)) return error;
  if (error.kind === "full") return new StoreError("storage-full", error.message, { cause: error });
  if (error.kind === "corrupt") return new StoreError("corrupt", error.message, { cause: error });
  if (error.kind === "closed") return new StoreError("closed", error.message, { cause: error });
  return new StoreError("internal", `storage failed: ${error.message}`, { cause: error });
}
