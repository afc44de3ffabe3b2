/** With which run of a peer membership was exchanged: what one run has heard the next may not know. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Exchange } from "../../../core/cluster/exchange.ts";
import type { Infer } from "../../../core/bytes/codec.ts";
import type { NodeId } from "../../../core/identity.ts";
import type { Transport } from "../../../core/ports.ts";
import { methods, type RpcServer } from "../../../core/rpc/rpc.ts";
import { testIdentity } from "../../support/test-identity.ts";
import { microtasks } from "../../support/values.ts";
import { memberRecord } from "../membership/samples.ts";
import { node, oneNode, rosterOf } from "./world.ts";

type Request = Infer<typeof methods.exchange.request>;
type Response = Infer<typeof methods.exchange.response>;

const h2 = node("h2");
const [before, now] = ["0b".repeat(8), "0c".repeat(8)];

/** h1, whose exchanges with h2 wait for the test to answer them. */
function scene() {
  const { cluster, clock, consents, telemetry } = oneNode("h1", rosterOf(["h1", "h2"]));
  const asked: { readonly request: Request; readonly answer: (response: Response) => void }[] = [];
  const request = (_to: NodeId, body: Uint8Array): Promise<Uint8Array> =>
    new Promise((resolve) => {
      const answer = (response: Response): void => resolve(methods.exchange.response.encode(response, 0));
      asked.push({ request: methods.exchange.request.decode(body, 1), answer });
    });
  const transport = { self: cluster.self, request } as unknown as Transport;
  const deps = { transport, identity: testIdentity(cluster.self), telemetry, cluster, clock, consents };
  const exchange = new Exchange(deps, { timeoutMs: 1_000 });
  const viewOf = (mark: string) => ({ ring: cluster.ring.fingerprint, life: 1, mark });
  /** h2 has the same membership, as that run of it. */
  const same = async (trip: number, mark: string, view = viewOf(mark)): Promise<void> => {
    await microtasks();
    asked[trip]!.answer({ same: true, lacking: [], view });
    await microtasks();
  };
  return { cluster, exchange, asked, viewOf, same };
}

describe("data of a host that has started anew", () => {
  test("waits for an exchange with that run, not for one that was under way with the run before", async () => {
    const { cluster, exchange, asked, viewOf, same } = scene();
    const running = exchange.with(h2);
    await microtasks();
    const meeting = exchange.meet(h2, viewOf(now));
    // By gossip, say: what this host knows of the new run that run has not heard of this host.
    cluster.merge({ members: new Map([[h2, memberRecord({ id: h2, incarnation: 2, mark: now.repeat(2) })]]) });
    await same(0, before);
    await running;
    assert.equal(exchange.hasMet(h2, viewOf(now)), false);
    assert.equal(asked.length, 2, "it is asked again");
    await same(1, now);
    await meeting;
    assert.equal(exchange.hasMet(h2, viewOf(now)), true);
  });

  test("is refused when that run, too, is over: it may have been one on an old copy of its disk", async () => {
    const { exchange, viewOf, same } = scene();
    const meeting = assert.rejects(exchange.meet(h2, viewOf(before)), { code: "not-ready" });
    await same(0, now);
    await same(1, now);
    await meeting;
  });

  test("needs no second exchange when the first was with it", async () => {
    const { exchange, asked, viewOf, same } = scene();
    const meeting = exchange.meet(h2, viewOf(now));
    await same(0, now);
    await meeting;
    assert.equal(asked.length, 1);
  });
});

describe("an exchange", () => {
  test("whose later trips meet another run of the asked is refused, and counts for neither", async () => {
    const { cluster, exchange, asked, viewOf } = scene();
    void exchange.with(h2);
    await microtasks();
    const other = oneNode("h2", rosterOf(["h1", "h2"], { n: 2 }), ["h1"]);
    let answer: (from: NodeId, request: Request) => Promise<Response> = async () => ({ same: true, lacking: [] });
    const server = { on: (_method: unknown, answers: typeof answer) => void (answer = answers) };
    other.exchange.serve(server as unknown as RpcServer);
    const metAtMs = other.cluster.lastExchange(cluster.self)?.atMs;
    const first = await answer(cluster.self, asked[0]!.request);
    asked[0]!.answer({ ...first, view: viewOf(before) });
    await microtasks();
    assert.equal(asked[1]!.request.run, before);
    await assert.rejects(answer(cluster.self, asked[1]!.request), { code: "not-ready" });
    assert.equal(other.cluster.lastExchange(cluster.self)?.atMs, metAtMs);
    assert.equal(cluster.lastExchange(h2), undefined);
  });

  test("says what ring the peer saw in the end, not what this host has heard of meanwhile", async () => {
    const { cluster, exchange, viewOf, same } = scene();
    const running = exchange.with(h2);
    await microtasks();
    const view = viewOf(now);
    cluster.merge({ members: new Map([[node("h3"), memberRecord({ id: node("h3") })]]) });
    await same(0, now, view);
    await running;
    assert.equal(cluster.lastExchange(h2)?.ring, view.ring);
    assert.notEqual(cluster.ring.fingerprint, view.ring);
  });
});
