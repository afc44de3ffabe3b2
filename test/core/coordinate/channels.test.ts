/** What a host grants in channels to one peer, beside others that it must not harm. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Channels } from "../../../core/coordinate/channels.ts";
import { nodeDefaults } from "../../../core/config.ts";
import type { Key, NodeId } from "../../../core/identity.ts";
import type { Transport } from "../../../core/ports.ts";
import { call, encodeCall, methods, RpcServer } from "../../../core/rpc/rpc.ts";
import { Tasks } from "../../../core/tasks.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { failsWith, utf8 } from "../../support/values.ts";

const [self, owner, host, edge, other] = ["h1", "h2", "h3", "e1", "e2"] as NodeId[] as [
  NodeId,
  NodeId,
  NodeId,
  NodeId,
  NodeId,
];
/** As `core/coordinate/channels.ts` has them. */
const channelsPerPeerMax = 256;
const participantsMax = 1_000;

function scene({ owners = [self, owner] }: { readonly owners?: readonly NodeId[] } = {}) {
  const down = new Set<NodeId>();
  const clock = new ManualClock(0);
  const telemetry = { event: () => {} };
  const tasks = new Tasks({ clock, telemetry });
  let serve: Parameters<Transport["serve"]>[0] | undefined;
  const told: { readonly to: NodeId; readonly key: string; readonly passedOn: boolean }[] = [];
  const joins: string[] = [];
  const transport = {
    tell: (to: NodeId, body: Uint8Array) => {
      const { key, passedOn } = methods.channelTell.request.decode(body, 1);
      told.push({ to, key, passedOn });
    },
    request: async (_to: NodeId, body: Uint8Array) => {
      joins.push(...methods.channelJoin.request.decode(body, 1).join);
      return methods.channelJoin.response.encode({}, 0);
    },
    serve: (handle: Parameters<Transport["serve"]>[0]) => {
      serve = handle;
      return () => {};
    },
  } as unknown as Transport;
  const cluster = {
    self,
    isMember: (id: NodeId) => [self, owner, host].includes(id),
    health: { isUp: (id: NodeId) => !down.has(id) },
    locate: (key: Key) => ({ key, partition: 0 }),
    ring: {
      partitions: 16,
      fingerprint: "r",
      hosts: [{ id: self }, { id: owner }, { id: host }],
      owners: () => owners,
    },
  };
  const deps = { cluster, transport, clock, tasks, telemetry, config: nodeDefaults };
  const channels = new Channels(deps as unknown as ConstructorParameters<typeof Channels>[0]);
  const server = new RpcServer(telemetry);
  channels.serve(server);
  server.listen(transport);
  const from = (id: NodeId) => ({ request: (_to: NodeId, body: Uint8Array) => serve!(id, body, 1_000) });
  const ask = (id: NodeId, request: { readonly join?: string[]; readonly leave?: string[] }) =>
    call(from(id), self, methods.channelJoin, { join: [], leave: [], ...request }, 1_000);
  const say = (id: NodeId, key: string) =>
    serve!(id, encodeCall(methods.channelTell, { key, body: utf8("hello"), passedOn: false }), 1_000);
  return { ask, say, clock, told, joins, down };
}

const keys = (count: number, prefix = "k") => Array.from({ length: count }, (_, i) => `b/${prefix}${i}`);

test("an edge takes part in so many channels and no more; when it leaves one it may join another", async () => {
  const { ask, clock } = scene();
  await ask(edge, { join: keys(channelsPerPeerMax) });
  clock.jump(5_000);
  await assert.rejects(ask(edge, { join: ["b/more"] }), failsWith("overloaded"));
  await ask(edge, { leave: ["b/k0", "b/k0", "b/unknown"] });
  await ask(edge, { join: ["b/more"] });
  await assert.rejects(ask(edge, { join: ["b/k0"] }), failsWith("overloaded"));
  await ask(edge, { join: ["b/k1"] });
  await ask(other, { join: ["b/k0"] });
});

test("an edge that joins and leaves without end is refused, and the owners are spared; later it may join again", async () => {
  const { ask, clock, joins } = scene();
  let refused = 0;
  for (let i = 0; i < 5_000; i++) {
    clock.jump(1);
    await ask(edge, { join: [`b/k${i}`] }).catch((error: unknown) => {
      assert.ok(failsWith("overloaded")(error));
      refused += 1;
    });
    await ask(edge, { leave: [`b/k${i}`] });
  }
  assert.ok(joins.length <= channelsPerPeerMax + 6 * 52, `${joins.length} joins were passed on in five seconds`);
  assert.equal(joins.length + refused, 5_000);
  await ask(other, { join: ["b/k"] });
  clock.jump(1_000);
  await ask(edge, { join: ["b/k"] });
});

test("renewing all its channels in time is within what an edge may do", async () => {
  const { ask, clock } = scene();
  for (let round = 0; round < 20; round++) {
    for (const key of keys(channelsPerPeerMax)) await ask(edge, { join: [key] });
    clock.jump(10_000);
  }
});

test("who has not renewed is out, and its channels count no more", async () => {
  const { ask, say, clock, told } = scene();
  await ask(edge, { join: keys(channelsPerPeerMax) });
  await clock.advance(20_000);
  await ask(other, { join: ["b/k1"] });
  await clock.advance(20_000);
  await say(other, "b/k1");
  assert.deepEqual(
    told.filter(({ to }) => to === edge),
    [],
  );
  await ask(edge, { join: keys(channelsPerPeerMax, "other") });
});

test("of a host that joins many channels at once it takes part in all but the one that is full", async () => {
  const { ask, say, told } = scene();
  for (let i = 0; i < participantsMax; i++) await ask(`p${i}` as NodeId, { join: ["b/full"] });
  for (const key of ["b/k0", "b/k1"]) await ask(edge, { join: [key] });
  await assert.rejects(ask(owner, { join: ["b/k0", "b/full", "b/k1"] }), failsWith("overloaded"));
  for (const key of ["b/k0", "b/k1"]) await say(edge, key);
  await say("p0" as NodeId, "b/full");
  const heard = told.filter(({ to }) => to === owner).map(({ key }) => key);
  assert.deepEqual(heard, ["b/k0", "b/k1"]);
});

test("a message is encoded once for all who are told, edges and hosts, and not where nobody is", async (t) => {
  const { ask, say, told } = scene();
  await ask(edge, { join: ["b/k"] });
  const encode = t.mock.method(methods.channelTell.request, "encode");
  await say(edge, "b/k");
  assert.deepEqual([told, encode.mock.callCount()], [[], 1], "by who says it alone");
  for (const id of [other, owner]) await ask(id, { join: ["b/k"] });
  await say(edge, "b/k");
  assert.deepEqual([told.map(({ to }) => to).toSorted(), encode.mock.callCount()], [[other, owner].toSorted(), 3]);
});

test("an owner tells those who take part by itself, and nobody else; the first owner does while it may not know them all", async () => {
  const { ask, say, clock, told, down } = scene({ owners: [owner, self] });
  const toldBy = async (id: NodeId) => {
    told.length = 0;
    await say(id, "b/k");
    return told.map(({ to, passedOn }) => `${to}${passedOn ? " passed on" : ""}`).toSorted();
  };
  const renew = async (ids: readonly NodeId[], ms: number) => {
    await clock.advance(ms);
    for (const id of ids) await ask(id, { join: ["b/k"] });
  };
  await renew([edge], 0);
  assert.deepEqual(await toldBy(edge), [owner], "others may have joined before this host was up");
  await renew([edge], 15_000);
  assert.deepEqual(await toldBy(edge), [], "nobody else takes part");
  await renew([host, other], 0);
  assert.deepEqual(await toldBy(edge), [`${other} passed on`, `${host} passed on`]);
  down.add(host);
  assert.deepEqual(
    await toldBy(edge),
    [`${other} passed on`, owner],
    "one that is cut off reaches the first owner alone",
  );
  down.delete(host);
  await renew([edge, host, other], 14_000);
  assert.deepEqual(await toldBy(edge), [`${other} passed on`, owner]);
  await renew([edge, host, other], 2_000);
  assert.deepEqual(await toldBy(edge), [`${other} passed on`, `${host} passed on`]);
});

test("what is said at a host that is no owner goes to the first one alone", async () => {
  const { ask, say, clock, told } = scene({ owners: [owner, host] });
  await clock.advance(60_000);
  await ask(edge, { join: ["b/k"] });
  await say(edge, "b/k");
  assert.deepEqual(told, [{ to: owner, key: "b/k", passedOn: false }]);
});
