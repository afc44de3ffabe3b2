import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { lease } from "../../../core/membership/roles.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemberSpec } from "../../support/memory-cluster.ts";
import { failsWith, utf8 } from "../../support/values.ts";
import { withCluster } from "../coordinate/scene.ts";

const browser = { kind: "browser-host" } as const;

describe("a node is no member, and says why, that", () => {
  const refused: readonly (readonly [what: string, own: NonNullable<MemberSpec["own"]>])[] = [
    ["is an edge", { kind: "edge" as "host" }],
    ["is of a kind that there is not", { kind: "relay" as "host" }],
    ["is a host with a lease", { kind: "host", leaseMs: lease.defaultMs }],
    ["has a lease too short to reload a page in", { ...browser, leaseMs: lease.minMs - 1 }],
    ["has a lease without end", { ...browser, leaseMs: Infinity }],
    ["has half a millisecond of a lease", { ...browser, leaseMs: lease.minMs + 0.5 }],
  ];
  for (const [what, own] of refused) {
    test(what, () =>
      withCluster(1, async (cluster) => {
        await assert.rejects(cluster.start("h2", { seeds: ["memory:h1"], own }), failsWith("bad-request"));
        assert.equal((await cluster.node("h1").status()).members.length, 1);
        assert.deepEqual((await cluster.disk("h2").page("meta", { limit: 10 })).rows, []);
      }),
    );
  }
});

test("a browser host says under which lease it is on the ring, ten minutes where it is told nothing else; hosts have none", () =>
  withCluster(2, async (cluster) => {
    await cluster.join("h3", { seeds: ["memory:h1"], own: browser });
    for (const node of cluster.nodes.values()) {
      const { members } = await node.status();
      assert.deepEqual(Object.fromEntries(members.map(({ id, kind, lease: shown }) => [id, [kind, shown?.ms]])), {
        h1: ["host", undefined],
        h2: ["host", undefined],
        h3: ["browser-host", 600_000],
      });
      const { leftMs } = members.find(({ id }) => id === "h3")!.lease!;
      assert.ok(leftMs > 0 && leftMs <= 600_000, String(leftMs));
    }
  }));

test("one host and one browser host: the lease of the browser never ends by itself, and status says what it waits for", () =>
  withCluster(1, async (cluster) => {
    await cluster.join("h2", { seeds: ["memory:h1"], own: { ...browser, leaseMs: lease.minMs } });
    await cluster.settled();
    const left = cluster.node("h1");
    cluster.kill("h2");
    const waits =
      /lease of h2 is over, but only 1 of 2 members answer, which is no majority: it comes back, or is removed/;
    await eventually(
      async () => (await left.status()).notices.some((notice) => waits.test(notice)),
      "status to say what the lease waits for",
    );
    const { members } = await left.status();
    assert.deepEqual(
      members.map(({ id, status, lease: shown }) => [id, status, shown?.leftMs]),
      [
        ["h1", "up", undefined],
        ["h2", "up", 0],
      ],
    );
    await left.changeRing({ kind: "remove", host: "h2" });
    assert.deepEqual(
      left.ring().tokens,
      Array.from({ length: 16 }, () => "h1"),
    );
  }));

test("a member that is started as another kind is refused, with its data and without", () =>
  withCluster(2, async (cluster) => {
    cluster.kill("h2");
    await assert.rejects(cluster.start("h2", { own: browser }), failsWith("bad-request"));
    cluster.kill("h2");
    cluster.wipe("h2");
    await assert.rejects(cluster.start("h2", { seeds: ["memory:h1"], own: browser }), failsWith("bad-request"));
    cluster.kill("h2");
    await cluster.start("h2", { seeds: ["memory:h1"] });
    await cluster.settled();
  }));

test("a write that only browsers could keep is not acknowledged, and says what it lacks", () =>
  withCluster(1, async (cluster) => {
    for (const name of ["h2", "h3"]) await cluster.join(name, { seeds: ["memory:h1"], own: browser });
    await cluster.settled();
    await cluster.node("h2").put("b", "k", utf8("v"), { w: "all" });
    cluster.kill("h1");
    await assert.rejects(cluster.node("h2").put("b", "k", utf8("w"), { w: "one", timeoutMs: 500 }), (error: Error) => {
      assert.match(error.message, /none at a host that is no browser/);
      return failsWith("quorum-not-met")(error);
    });
    await cluster.start("h1");
    await cluster.settled();
    await cluster.node("h2").put("b", "k", utf8("x"), { w: "one" });
  }));
