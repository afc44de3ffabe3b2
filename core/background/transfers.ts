/**
 * Partitions on their way: those that this node fills, and those that it hands off, under one rate cap.
 */
import type { NodeStatus } from "../api.ts";
import type { NodeConfig } from "../config.ts";
import type { Clock } from "../ports.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { RpcServer } from "../rpc/rpc.ts";
import type { RecordStore } from "../storage/record-store.ts";
import type { Tasks } from "../tasks.ts";
import type { CopyDeps } from "./copy-partitions.ts";
import { keepFilled } from "./fill.ts";
import { FillCursors } from "./fill-cursors.ts";
import { serveHandOff } from "./hand-off-answers.ts";
import { type HandOffDeps, keepHandedOff } from "./hand-off.ts";
import { Progress } from "./progress.ts";
import { RateCap } from "./rate-cap.ts";

export interface TransferDeps {
  readonly records: RecordStore;
  readonly holdings: Holdings;
  readonly clock: Clock;
  readonly tasks: Tasks;
}

export class Transfers {
  readonly #filling: Progress;
  readonly #handingOff: Progress;
  readonly #cursors: FillCursors;
  readonly #rate: RateCap;

  constructor(deps: TransferDeps, config: NodeConfig) {
    this.#filling = new Progress(deps.clock);
    this.#handingOff = new Progress(deps.clock);
    this.#cursors = new FillCursors(deps);
    this.#rate = new RateCap(deps, config.transferBytesPerSecondMax);
  }

  /** Call when the holdings are as they were on the disk: where the last run's fills ended. */
  open(ring: string): Promise<void> {
    return this.#cursors.open(ring);
  }

  /** Call before the disk has it what is filled anew: what was copied for that before counts no more, nor after another start. */
  clean(): Promise<void> {
    return this.#cursors.clean();
  }

  start(deps: Omit<CopyDeps & HandOffDeps, "rate" | "cursors" | "progress"> & { readonly server: RpcServer }): void {
    serveHandOff(deps);
    keepFilled({ ...deps, rate: this.#rate, cursors: this.#cursors, progress: this.#filling });
    keepHandedOff({ ...deps, rate: this.#rate, progress: this.#handingOff });
  }

  view(): NodeStatus["transfers"] {
    const filling = this.#filling.view();
    const handingOff = this.#handingOff.view();
    return { ...(filling && { filling }), ...(handingOff && { handingOff }) };
  }
}
