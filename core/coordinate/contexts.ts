/**
 * Contexts that this cluster's hosts give out and take back: sealed under the cluster's secrets.
 */
import { contextSecret, type ContextSecret, openContext, sealContext } from "../causality/context.ts";
import { type Coverage, contextOf, nothingSeen, type Versioned } from "../causality/version-set.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { fromHex } from "../bytes/hex.ts";
import { invariant } from "../errors.ts";
import type { Key } from "../identity.ts";

export class Contexts {
  readonly #cluster: Cluster;
  /** A state is often read again before it changes, and sealing is the dearest step of a read. */
  readonly #sealed = new WeakMap<Versioned, { readonly secret: ContextSecret; readonly text: string }>();
  /** Named secrets of a roster's list; the list changes only when rings meet. */
  readonly #named = new WeakMap<readonly string[], readonly ContextSecret[]>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** The context of all that a state of this key holds; a state belongs to one key. */
  seal(state: Versioned, key: Key): string {
    const [first] = this.#secrets();
    invariant(first !== undefined, "a cluster has a secret from its foundation on");
    const known = this.#sealed.get(state);
    if (known?.secret === first) return known.text;
    const text = sealContext(contextOf(state), key, first);
    this.#sealed.set(state, { secret: first, text });
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
