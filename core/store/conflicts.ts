/** What an application hears of conflicts between lww values. */
import type { Stop } from "../ports.ts";
import type { LwwConflict } from "../store-node.ts";
import type { StoreEvent, Telemetry } from "../telemetry.ts";
import { Listeners } from "./listeners.ts";

/**
 * The telemetry of a host's node, and `onConflict` of the Store over it.
 *
 * @example
 * const conflicts = new Conflicts();
 * const node = new EverwriteNode({ ...ports, telemetry: conflicts }, options);
 * const stop = conflicts.on(({ bucket, name }) => show(`a value of ${bucket}/${name} was discarded`));
 */
export class Conflicts implements Telemetry {
  readonly #listeners = new Listeners<LwwConflict>();

  event(event: StoreEvent): void {
    if (event.kind === "conflict") this.#listeners.tell(conflictOf(event));
  }

  on(listener: (conflict: LwwConflict) => void): Stop {
    return this.#listeners.add(listener);
  }
}

function conflictOf({ key, discardedDot, timeMs }: StoreEvent & { readonly kind: "conflict" }): LwwConflict {
  const slash = key.indexOf("/");
  return { bucket: key.slice(0, slash), name: key.slice(slash + 1), discardedDot, timeMs };
}
