import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { NodeId } from "../../../core/identity.ts";
import { RosterMessage, rosterMessage } from "../../../core/membership/exchange.ts";
import { emptyRoster } from "../../../core/membership/roster.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { MemoryGossip } from "../../support/memory-gossip.ts";
import { signedRecord } from "../../support/test-identity.ts";
import { eventsOf } from "../coordinate/scene.ts";
import { memberRecord } from "../membership/samples.ts";

const [h1, h4] = ["h1", "h4"] as [NodeId, NodeId];
const parameters = { name: "test", partitions: 16, n: 3, admission: "open" } as const;

/** Three hosts that gossip; exchanges cannot help while `isAlone`. */
async function gossiping(body: (cluster: MemoryCluster, gossip: MemoryGossip) => Promise<void>): Promise<void> {
  const gossip = new MemoryGossip();
  const cluster = new MemoryCluster();
  cluster.gossip = gossip;
  try {
    for (const name of ["h1", "h2", "h3"]) await cluster.join(name, name === "h1" ? {} : { seeds: ["memory:h1"] });
    await cluster.settled();
    await body(cluster, gossip);
  } finally {
    await cluster.stop();
  }
}

/** No membership goes by exchange from now on. */
function stopExchanges(cluster: MemoryCluster): void {
  for (const name of cluster.nodes.keys()) {
    const transport = cluster.transport(name);
    const request = transport.request.bind(transport);
    transport.request = async (to, body, timeoutMs) => {
      if (body[0] === methods.exchange.number) throw new Error("no exchange in this test");
      return request(to, body, timeoutMs);
    };
  }
}

const membersOf = async (cluster: MemoryCluster, name: string) => (await cluster.node(name).status()).members;

describe("gossip", () => {
  test("tells all hosts of a change that no exchange told them", () =>
    gossiping(async (cluster, gossip) => {
      stopExchanges(cluster);
      const joined = signedRecord(memberRecord({ id: h4 }));
      const body = RosterMessage.encode(rosterMessage(emptyRoster(parameters), { members: new Map([[h4, joined]]) }));
      const verdicts = await gossip.tell(h4, body);
      assert.deepEqual([...verdicts.values()], [true, true, true]);
      for (const name of ["h1", "h2", "h3"]) {
        assert.ok(
          (await membersOf(cluster, name)).some(({ id }) => id === h4),
          name,
        );
      }
    }));

  test("of a host's own changes begins with the host, and carries no secret", () =>
    gossiping(async (cluster, gossip) => {
      const before = gossip.published.length;
      cluster.kill("h3");
      await cluster.start("h3");
      const told = (): RosterMessage[] =>
        gossip.published.slice(before).flatMap(({ from, body }) => (from === "h3" ? [RosterMessage.decode(body)] : []));
      await eventually(() => told().some(({ members }) => members.length > 0), "h3 to tell of its new run");
      for (const { body, from } of gossip.published) {
        const { members, secrets, questions } = RosterMessage.decode(body);
        assert.deepEqual([secrets, questions], [[], []]);
        assert.ok(members.every(({ by }) => by === from));
      }
    }));

  test("that is hostile changes nothing, is told, and is passed on to nobody", () =>
    gossiping(async (cluster, gossip) => {
      const before = await membersOf(cluster, "h1");
      const forged = memberRecord({ id: h1, incarnation: 99, addresses: ["memory:evil"] }, h4);
      const roster = emptyRoster(parameters);
      const other = emptyRoster({ ...parameters, name: "other" });
      const hostile = [
        Uint8Array.of(1, 2, 3),
        RosterMessage.encode(rosterMessage(roster, { members: new Map([[h1, forged]]) })),
        RosterMessage.encode(rosterMessage(roster, { secrets: ["ab".repeat(32)] })),
        RosterMessage.encode(rosterMessage(other, {})),
      ];
      for (const body of hostile) {
        const verdicts = await gossip.tell(h4, body);
        assert.deepEqual([...verdicts.values()], [false, false, false]);
      }
      assert.deepEqual(await membersOf(cluster, "h1"), before);
      assert.equal(eventsOf(cluster, "bad-frame", "h1").length, 3);
      assert.equal(eventsOf(cluster, "bad-record", "h1").length, 1);
    }));

  test("that is lost altogether costs time only", () =>
    gossiping(async (cluster, gossip) => {
      gossip.loses = () => true;
      await cluster.join("h4");
      await cluster.settled(4);
    }));
});

test("without gossip four hosts agree on members and ring, by exchanges alone", async () => {
  const cluster = await MemoryCluster.of(4);
  try {
    const rings = await Promise.all([...cluster.nodes.values()].map(async (node) => (await node.status()).ring));
    assert.equal(new Set(rings).size, 1);
  } finally {
    await cluster.stop();
  }
});
