/**
 * Stores over the hosts of a memory cluster, and nodes that refuse when a test says so.
 */
import type { StoreError } from "../../core/errors.ts";
import { loadDocuments } from "../../core/load-documents.ts";
import type { NodeId } from "../../core/identity.ts";
import { Conflicts } from "../../core/store/conflicts.ts";
import { HostStoreNode } from "../../core/store/host-node.ts";
import { Store } from "../../core/store/store.ts";
import type { StoreNode } from "../../core/store-node.ts";
import { type MemoryCluster, realRandom } from "./memory-cluster.ts";
import { realClock } from "./real-clock.ts";

export function hostStoreNode(cluster: MemoryCluster, name: string): HostStoreNode {
  const node = cluster.node(name);
  return new HostStoreNode({
    id: name as NodeId,
    node,
    clock: realClock,
    random: realRandom,
    onConflict: (hear) => {
      const conflicts = new Conflicts();
      conflicts.on(hear);
      return cluster.onEvent(name, (event) => conflicts.event(event));
    },
    stop: () => node.stop(),
  });
}

export function storeOver<Schema extends object = object>(node: StoreNode, name = "test"): Store<Schema> {
  return new Store<Schema>(name, { node, clock: realClock, random: realRandom, loadDocuments });
}

export type Verb = "get" | "put";

/** A node that does what it is asked, or refuses first, or does it and loses the answer. */
export class Failing {
  readonly calls: { readonly verb: Verb; readonly options: unknown }[] = [];
  readonly #planned: { readonly verb: Verb; readonly error: StoreError; readonly after: boolean }[] = [];

  /** The next call of `verb` rejects; `after`: when it was done. */
  next(verb: Verb, error: StoreError, { after = false } = {}): void {
    this.#planned.push({ verb, error, after });
  }

  over(node: StoreNode): StoreNode {
    const run = async <A>(verb: Verb, options: unknown, work: () => Promise<A>): Promise<A> => {
      this.calls.push({ verb, options });
      const i = this.#planned.findIndex((planned) => planned.verb === verb);
      const [planned] = i < 0 ? [] : this.#planned.splice(i, 1);
      if (planned !== undefined && !planned.after) throw planned.error;
      const answer = await work();
      if (planned !== undefined) throw planned.error;
      return answer;
    };
    return {
      id: node.id,
      get: (bucket, name, options) => run("get", options, () => node.get(bucket, name, options)),
      put: (bucket, name, body, options) => run("put", options, () => node.put(bucket, name, body, options)),
      delete: (bucket, name, options) => node.delete(bucket, name, options),
      list: (bucket, options) => node.list(bucket, options),
      watch: (bucket, keys, signal) => node.watch(bucket, keys, signal),
      flush: (options) => node.flush(options),
      facts: () => node.facts(),
      onFacts: (listener) => node.onFacts(listener),
      onConflict: (listener) => node.onConflict(listener),
      parked: () => node.parked(),
      discard: (write) => node.discard(write),
      export: () => node.export(),
      import: (source) => node.import(source),
      close: () => node.close(),
    };
  }
}
