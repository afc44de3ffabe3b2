/**
 * Contexts that this cluster's hosts give out and take back: sealed under the cluster's secrets.
 */
import { contextSecret, type ContextSecret, openContext, sealContext } from "../causality/context.ts";
import { type Coverage, contextOf, nothingSeen, type Versioned } from "../causality/version-set.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { fromHex } from "../bytes/hex.ts";
import { invariant } from "../errors.ts";
import type { Key } from "../identity.ts";
import { type CachedState, neverWritten } from "../replica/state-cache.ts";

export class Contexts {
  readonly #cluster: Cluster;
  /** Named secrets of a roster's list; the list changes only when rings meet. */
  readonly #named = new WeakMap<readonly string[], readonly ContextSecret[]>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** The context of all that `held` has of this key, decoded as `state`. Sealed once, and kept with it. */
  seal(held: CachedState, state: Versioned, key: Key): string {
    invariant(held !== neverWritten, "all keys that were never written have one copy, and no context");
    const [first] = this.#secrets();
    invariant(first !== undefined, "a cluster has a secret from its foundation on");
    if (held.sealed?.secret === first) return held.sealed.text;
    const text = sealContext(contextOf(state), key, first);
    held.sealed = { secret: first, text };
    return text;
  }

  /** Nothing seen without a context. @throws StoreError `bad-context` */
  open(context: string | undefined, key: Key): Coverage {
    return context === undefined ? nothingSeen : openContext(context, key, this.#secrets());
  }

  #secrets(): readonly ContextSecret[] {
    const { secrets } = this.#cluster.roster;
    let named = this.#named.get(secrets);
    if (named === undefined) {
      named = secrets.map((secret) => contextSecret(fromHex(secret)!));
      this.#named.set(secrets, named);
    }
    return named;
  }
}
