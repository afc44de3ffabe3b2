/** Waiting for a host's place in its cluster, as an application does: not for ever, and told what it waits for. */
import type { NodeApi } from "../api.ts";
import { StoreError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { WaitOptions } from "../store-node.ts";
import { within } from "./cancel.ts";

export interface Starting {
  readonly node: Pick<NodeApi, "status">;
  /** Resolves when it has its place; rejects when the cluster refuses it. */
  readonly ready: Promise<void>;
  readonly clock: Clock;
}

/** Waits for a host's place in the cluster. @throws StoreError `not-ready` with what the node waits for, `aborted`, or whatever `ready` rejects with. The caller stops the node */
export async function readyInTime({ node, ready, clock }: Starting, name: string, options: WaitOptions): Promise<void> {
  try {
    await within(clock, ready, options, `opening "${name}"`);
  } catch (error: unknown) {
    if (!(error instanceof StoreError) || error.code !== "quorum-not-met") throw error;
    const { notices } = await node.status();
    const text = `no place in the cluster "${name}" within ${options.timeoutMs} ms: ${notices.join("; ")}`;
    throw new StoreError("not-ready", text);
  }
}
