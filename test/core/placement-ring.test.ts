import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { positionOf } from "../../core/bytes/hash.ts";
import type { NodeId, PartitionIndex } from "../../core/identity.ts";
import type { PlacedMember } from "../../core/membership/member.ts";
import { emptyAssignment, initialAssignment, mergeAssignments } from "../../core/placement/assignment.ts";
import { allPartitions, checkPartitions, partitionOf } from "../../core/placement/partition.ts";
import { healthyTargets } from "../../core/placement/preference-list.ts";
import { Ring } from "../../core/placement/ring.ts";
import type { Cluster } from "./placement-cases.ts";
import { anyAssignment, anyCluster, member, nodeId } from "./placement-cases.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("the position of a key is the MD5 of its bytes", () => {
  assert.equal(hex(positionOf(new TextEncoder().encode("message digest"))), "f96b697d7cb7938d525a2f31aaf161d0");
});

test("a key's partition is the top log2(Q) bits of its position", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 0, max: 16 }), (position, bits) => {
      const expected = Number(BigInt(`0x${hex(position)}`) >> BigInt(128 - bits));
      assert.equal(partitionOf(position, 2 ** bits), expected);
    }),
  );
});

test("Q is a power of two in 1..65,536", () => {
  for (const good of [1, 2, 1024, 65_536]) assert.equal(checkPartitions(good), good);
  for (const bad of [0, -2, 3, 1023, 131_072, 0.5, Number.NaN, Infinity]) {
    assert.throws(() => checkPartitions(bad), { code: "bad-request" });
  }
});

test("merging assignments is commutative, associative and idempotent, and nothing is below the empty one", () => {
  fc.assert(
    fc.property(anyAssignment(8), anyAssignment(8), anyAssignment(8), (a, b, c) => {
      assert.deepEqual(mergeAssignments(a, b), mergeAssignments(b, a));
      assert.deepEqual(mergeAssignments(mergeAssignments(a, b), c), mergeAssignments(a, mergeAssignments(b, c)));
      assert.equal(mergeAssignments(a, a), a);
      assert.equal(mergeAssignments(a, emptyAssignment(8)), a);
    }),
  );
});

test("of two entries the higher epoch wins, then the greater host", () => {
  const [a, b] = [nodeId(1), nodeId(2)];
  for (const [one, other, winner] of [
    [{ host: a, epoch: 2 }, { host: b, epoch: 1 }, a],
    [{ host: a, epoch: 1 }, { host: b, epoch: 1 }, b],
    [{ host: null, epoch: 1 }, { host: a, epoch: 1 }, a],
  ] as const) {
    assert.equal(mergeAssignments([one], [other])[0]!.host, winner);
  }
});

/** The rules of PROTOCOL 2 as one would say them: the twin of the ring. */
function naiveWalk({ n, members, assignment }: Cluster, partition: number): NodeId[] {
  const onRing = members.filter((m) => m.status === "up" || m.status === "leaving");
  const tokens = [...assignment.slice(partition), ...assignment.slice(0, partition)];
  let left = [...new Set(tokens.flatMap((entry) => onRing.filter((m) => m.id === entry.host)))];
  const hasNode = left.some((m) => m.kind === "host");
  const chosen: PlacedMember[] = [];
  while (left.length > 0) {
    const mustBeNode = hasNode && chosen.length === n - 1 && chosen.every((m) => m.kind !== "host");
    const may = left.filter((m) => !mustBeNode || m.kind === "host");
    const newGroup = may.filter((m) => m.deviceGroup === "" || chosen.every((c) => c.deviceGroup !== m.deviceGroup));
    const newZone = newGroup.filter((m) => m.zone === "" || chosen.every((c) => c.zone !== m.zone));
    const next = newZone[0] ?? newGroup[0] ?? may[0]!;
    chosen.push(next);
    left = left.filter((m) => m !== next);
  }
  return chosen.map((m) => m.id);
}

test("the walk of every partition is that of the naive model, and its first N are the owners", () => {
  fc.assert(
    fc.property(anyCluster(), (cluster) => {
      const ring = new Ring(cluster);
      for (const partition of allPartitions(ring.partitions)) {
        const expected = naiveWalk(cluster, partition);
        assert.deepEqual(ring.owners(partition), expected.slice(0, cluster.n));
        assert.deepEqual(ring.walk(partition), expected);
      }
    }),
    { numRuns: 500 },
  );
});

test("owners are distinct, as many as there can be, and hosts on the ring", () => {
  onEveryOwnerSet((owners, ring) => {
    assert.equal(new Set(owners).size, Math.min(ring.n, ring.hosts.length));
    for (const owner of owners) assert.ok(owner.status === "up" || owner.status === "leaving");
  });
});

test("where the ring has Node hosts, every owner set holds one", () => {
  onEveryOwnerSet((owners, ring) => {
    if (ring.hosts.some((host) => host.kind === "host")) assert.ok(owners.some((owner) => owner.kind === "host"));
  });
});

test("no two owners share a device group while another group has a host that could take the place", () => {
  onEveryOwnerSet((owners, ring) => {
    const used = new Set(owners.map(groupOf));
    if (used.size === owners.length) return;
    const unused = ring.hosts.filter((host) => !used.has(groupOf(host)));
    // The only exception: the last place had to go to a Node host.
    if (unused.length > 0)
      assert.deepEqual([owners.at(-1)!.kind, ...new Set(unused.map((host) => host.kind))], ["host", "browser-host"]);
  });
});

test("without device groups and pages, owners lie in as many zones as there are", () => {
  const plain = anyCluster().map((cluster) => ({
    ...cluster,
    members: cluster.members.map((m) => ({ ...m, deviceGroup: "", kind: "host" as const })),
  }));
  onEveryOwnerSet((owners, ring) => {
    assert.equal(zonesOf(owners), Math.min(ring.n, zonesOf(ring.hosts)));
  }, plain);
});

test("ring and fingerprint do not depend on the order in which members are listed", () => {
  fc.assert(
    fc.property(anyCluster(), fc.infiniteStream(fc.nat()), (cluster, keys) => {
      const shuffled = cluster.members
        .map((m) => ({ m, key: keys.next().value as number }))
        .toSorted((a, b) => a.key - b.key)
        .map(({ m }) => m);
      const [one, other] = [new Ring(cluster), new Ring({ ...cluster, members: shuffled })];
      assert.equal(one.fingerprint, other.fingerprint);
      for (const partition of allPartitions(one.partitions))
        assert.deepEqual(one.walk(partition), other.walk(partition));
    }),
  );
});

test("the fingerprint is 16 hex digits and changes with everything that placement depends on", () => {
  const members = [member(0, { zone: "a" }), member(1)];
  const cluster: Cluster = { n: 3, members, assignment: initialAssignment(nodeId(0), 4) };
  const variants: Cluster[] = [
    cluster,
    { ...cluster, n: 2 },
    { ...cluster, assignment: initialAssignment(nodeId(0), 8) },
    { ...cluster, assignment: initialAssignment(nodeId(1), 4) },
    { ...cluster, assignment: cluster.assignment.with(2, { host: nodeId(0), epoch: 2 }) },
    { ...cluster, members: members.slice(0, 1) },
    ...[
      { zone: "b" },
      { deviceGroup: "g" },
      { capacity: 50 },
      { life: 2 },
      { status: "left" as const },
      { kind: "browser-host" as const },
    ].map((change) => ({ ...cluster, members: [{ ...members[0]!, ...change }, members[1]!] })),
  ];
  const fingerprints = variants.map((variant) => new Ring(variant).fingerprint);
  assert.equal(new Set(fingerprints).size, variants.length);
  for (const fingerprint of fingerprints) assert.match(fingerprint, /^[0-9a-f]{16}$/u);
});

test("ownedBy and tokensOf say the same as owners and the assignment", () => {
  fc.assert(
    fc.property(anyCluster(), (cluster) => {
      const ring = new Ring(cluster);
      const every = allPartitions(ring.partitions);
      for (const { id } of cluster.members) {
        const isHost = ring.hosts.some((host) => host.id === id);
        assert.deepEqual(
          ring.ownedBy(id),
          every.filter((partition) => ring.owners(partition).includes(id)),
        );
        assert.deepEqual(
          ring.tokensOf(id),
          isHost ? every.filter((partition) => cluster.assignment[partition]!.host === id) : [],
        );
      }
    }),
  );
});

test("tokens of a host that left change nothing: its owners are those of a ring in which it never was", () => {
  fc.assert(
    fc.property(anyCluster(), (cluster) => {
      const gone = cluster.members.map((m) => (m.status === "up" || m.status === "leaving" ? m : undefined));
      const without = new Ring({ ...cluster, members: gone.filter((m) => m !== undefined) });
      for (const partition of allPartitions(without.partitions)) {
        assert.deepEqual(new Ring(cluster).owners(partition), without.owners(partition));
      }
    }),
  );
});

test("healthy targets are the first N healthy hosts, and each down owner is stood for once or uncovered", () => {
  fc.assert(
    fc.property(anyCluster(), fc.infiniteStream(fc.boolean()), (cluster, health) => {
      const ring = new Ring(cluster);
      const up = new Set(cluster.members.filter(() => health.next().value).map((m) => m.id));
      for (const partition of allPartitions(ring.partitions)) checkTargets(ring, partition, up);
    }),
    { numRuns: 300 },
  );
});

function checkTargets(ring: Ring, partition: PartitionIndex, up: ReadonlySet<NodeId>): void {
  const { targets, uncovered } = healthyTargets(ring, partition, (node) => up.has(node));
  const owners = ring.owners(partition);
  const healthy = ring.walk(partition).filter((node) => up.has(node));
  const nodes = targets.map((target) => target.node);
  const isNode = (node: NodeId): boolean => ring.host(node)?.kind === "host";

  assert.equal(nodes.length, Math.min(owners.length, healthy.length));
  assert.equal(new Set(nodes).size, nodes.length);
  if (healthy.some(isNode)) assert.ok(nodes.some(isNode), "an ack needs a Node copy where a Node host is up");
  const first = healthy.slice(0, owners.length);
  if (first.some(isNode) || !healthy.some(isNode)) assert.deepEqual(nodes, first);
  else assert.deepEqual(nodes, [...first.slice(0, -1), healthy.find(isNode)]);

  for (const { node, standsFor } of targets) assert.equal(standsFor === undefined, owners.includes(node));
  const stoodFor = targets.flatMap(({ standsFor }) => standsFor ?? []);
  const down = owners.filter((owner) => !up.has(owner));
  assert.deepEqual([...stoodFor, ...uncovered].toSorted(), down.toSorted());
  const fallbacks = targets.filter(({ standsFor }) => standsFor !== undefined);
  const atNodes = fallbacks.filter(({ node, standsFor }) => isNode(node) && isNode(standsFor!)).length;
  const standInNodes = fallbacks.filter(({ node }) => isNode(node)).length;
  assert.equal(atNodes, Math.min(standInNodes, down.filter(isNode).length), "Node hosts stand for Node hosts first");
}

test("a Node host stands for the Node host that is away, not for a page before it, which may be back sooner", () => {
  const page = { kind: "browser-host" } as const;
  const members = [member(0, page), member(1, page), member(2), member(3), member(4, page)];
  const assignment = [0, 1, 2, 3, 4, 0, 0, 0].map((index) => ({ host: nodeId(index), epoch: 1 }));
  const [p1, p2, t, s, p3] = members.map(({ id }) => id) as [NodeId, NodeId, NodeId, NodeId, NodeId];
  const away = new Set([p1, t]);
  assert.deepEqual(
    healthyTargets(new Ring({ n: 3, members, assignment }), 0 as PartitionIndex, (node) => !away.has(node)),
    { targets: [{ node: p2 }, { node: s, standsFor: t }, { node: p3, standsFor: p1 }], uncovered: [] },
  );
});

test("a ring tells how many hosts, device groups and zones it has, so that too few can be warned of", () => {
  const members = [member(0, { zone: "a", deviceGroup: "g" }), member(1, { zone: "a", deviceGroup: "g" }), member(2)];
  const assignment = [0, 1, 2, 0].map((index) => ({ host: nodeId(index), epoch: 1 }));
  assert.deepEqual(new Ring({ n: 3, members, assignment }).spread, { hosts: 3, deviceGroups: 2, zones: 2 });
});

test("a ring without hosts has empty lists", () => {
  const ring = new Ring({ n: 3, members: [], assignment: emptyAssignment(4) });
  assert.deepEqual(ring.owners(0 as PartitionIndex), []);
  assert.deepEqual(
    healthyTargets(ring, 0 as PartitionIndex, () => true),
    { targets: [], uncovered: [] },
  );
});

function groupOf(host: PlacedMember): string {
  return host.deviceGroup || host.id;
}

function zonesOf(hosts: readonly PlacedMember[]): number {
  return new Set(hosts.map((host) => host.zone || host.id)).size;
}

function onEveryOwnerSet(check: (owners: readonly PlacedMember[], ring: Ring) => void, clusters = anyCluster()): void {
  fc.assert(
    fc.property(clusters, (cluster) => {
      const ring = new Ring(cluster);
      for (const partition of allPartitions(ring.partitions)) {
        const owners = ring.owners(partition).map((id) => ring.host(id)!);
        check(owners, ring);
      }
    }),
    { numRuns: 300 },
  );
}
