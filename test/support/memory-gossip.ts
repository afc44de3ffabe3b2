/** The Gossip port in memory: everybody hears everything at once, unless a test says otherwise. */
import type { NodeId } from "../../core/identity.ts";
import type { Gossip, Hear } from "../../core/ports.ts";

export class MemoryGossip {
  readonly #hears = new Map<NodeId, Hear>();
  /** What was published so far, and by whom. */
  readonly published: { readonly from: NodeId; readonly body: Uint8Array }[] = [];
  /** Asked of each body before it reaches anybody. */
  loses: (to: NodeId) => boolean = () => false;

  of(self: NodeId): Gossip {
    return {
      publish: async (body) => {
        this.published.push({ from: self, body });
        await this.tell(self, body);
      },
      subscribe: (hear) => {
        this.#hears.set(self, hear);
        return () => void this.#hears.delete(self);
      },
    };
  }

  /** Also what no node would publish. Each listener's verdict. */
  async tell(from: NodeId, body: Uint8Array): Promise<Map<NodeId, boolean>> {
    const verdicts = new Map<NodeId, boolean>();
    for (const [to, hear] of this.#hears) {
      if (to !== from && !this.loses(to)) verdicts.set(to, await hear(from, body.slice()));
    }
    return verdicts;
  }
}
