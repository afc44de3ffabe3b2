/** What is said about documents and not stored: who is present, and keystrokes ahead of their storage. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { Ahead } from "../../../core/documents/ahead.ts";
import { EverwriteProvider } from "../../../core/documents/provider.ts";
import { channelMessageBytesMax } from "../../../core/rpc/channel-messages.ts";
import { eventually } from "../../support/eventually.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { MemoryEdges } from "../../support/memory-edges.ts";
import { hostStoreNode, storeOver } from "../../support/memory-stores.ts";
import { failsWith, utf8 } from "../../support/values.ts";

test("who takes part in a channel hears the others, over whatever hosts; who left hears nothing; nothing is stored", async () => {
  const cluster = await MemoryCluster.of(5);
  const edges = new MemoryEdges(cluster);
  const [e1, e2] = [await edges.connected("e1"), await edges.connected("e2")];
  const heard = new Map<string, string[]>();
  const hear = (who: string) => (message: Uint8Array) => {
    heard.set(who, [...(heard.get(who) ?? []), new TextDecoder().decode(message)]);
  };
  const parts = {
    e1: e1.join("notes", "plan", hear("e1")),
    e2: e2.join("notes", "plan", hear("e2")),
    h4: cluster.node("h4").join("notes", "plan", hear("h4")),
    h5: cluster.node("h5").join("notes", "plan", hear("h5")),
  };
  for (const [who, part] of Object.entries(parts)) {
    const others = Object.keys(parts).filter((other) => other !== who);
    // Said again until all have joined: what is said before is lost.
    await eventually(() => {
      part.send(utf8(`of ${who}`));
      return others.every((other) => heard.get(other)?.includes(`of ${who}`));
    }, `${who} to be heard by all`);
  }
  for (const [who, messages] of heard) assert.ok(!messages.includes(`of ${who}`), `${who} heard itself`);
  parts.e2.leave();
  const before = heard.get("e2")!.length;
  parts.h4.send(utf8("last"));
  await eventually(() => heard.get("e1")!.includes("last"), "the others to hear on");
  assert.equal(heard.get("e2")!.length, before);
  assert.throws(() => parts.e1.send(new Uint8Array(channelMessageBytesMax + 1)), failsWith("value-too-large"));
  assert.equal((await cluster.node("h1").get("notes", "plan", { r: "all" })).context, null);
  await edges.stop();
  await cluster.stop();
});

test("a flood of one edge is cut to what is allowed, and who has not joined is not heard", async () => {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  const edge = await edges.connected("e1");
  let heard = 0;
  cluster.node("h2").join("notes", "plan", () => void (heard += 1));
  const part = edge.join("notes", "plan", () => {});
  await eventually(() => {
    part.send(utf8("x"));
    return heard > 0;
  }, "the edge to be heard");
  heard = 0;
  for (let i = 0; i < 5_000; i++) part.send(utf8("flood"));
  const before = heard;
  await eventually(() => heard > before || heard > 100, "some of it to be heard");
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.ok(heard < 1_500, `${heard} of 5,000 were passed on`);
  await edges.stop();
  await cluster.stop();
});

test("who is present is shown to the others while they are there", async () => {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  const [one, two] = [storeOver(await edges.connected("e1")), storeOver(hostStoreNode(cluster, "h3"))];
  const [here, there] = [await one.doc("notes/plan"), await two.doc("notes/plan")];
  await Promise.all([here.loaded, there.loaded]);
  here.presence.setLocalState({ user: "Ada" });
  const seen = () => there.presence.getStates().get(here.clientID)?.["user"];
  await eventually(() => {
    here.presence.setLocalStateField("beat", performance.now());
    return seen() === "Ada";
  }, "Ada to be seen");
  await here.close();
  await eventually(() => seen() === undefined, "Ada to be gone");
  await Promise.all([one.close(), two.close()]);
  await edges.stop();
  await cluster.stop();
});

test("keystrokes are seen before they are stored", async () => {
  const cluster = await MemoryCluster.of(3);
  const [one, two] = [storeOver(hostStoreNode(cluster, "h1")), storeOver(hostStoreNode(cluster, "h2"))];
  const [here, there] = [await one.doc("notes/plan"), await two.doc("notes/plan")];
  await Promise.all([here.loaded, there.loaded]);
  let isStored = false;
  let seenFirst = 0;
  for (let i = 0; i < 20; i++) {
    here.getText("body").insert(0, "x");
    isStored = false;
    void here.settled.then(() => (isStored = true));
    await eventually(() => there.getText("body").length === i + 1, "the keystroke to be seen");
    if (!isStored) seenFirst += 1;
  }
  assert.ok(seenFirst > 10, `${seenFirst} of 20 were seen before they were stored`);
  await Promise.all([one.close(), two.close()]);
  await cluster.stop();
});

test("what is built on keystrokes that were never stored is stored with them; what nobody stores those do who have it", async () => {
  const [one, two] = [new Y.Doc(), new Y.Doc()];
  const said: Uint8Array[] = [];
  one.on("update", (update: Uint8Array) => said.push(update));
  one.getText("body").insert(0, "a");
  one.getText("body").insert(1, "b");
  const clock = new ManualClock();
  const adopted: Uint8Array[] = [];
  const ahead = new Ahead({ clock, random: { next: () => 0.5, bytes: (n) => new Uint8Array(n) } }, (update) =>
    adopted.push(update),
  );
  for (const update of said) {
    Y.applyUpdate(two, update);
    ahead.heard(update);
  }
  const own: Uint8Array[] = [];
  two.on("update", (update: Uint8Array) => own.push(update));
  two.getText("elsewhere").insert(0, "c");
  assert.deepEqual(ahead.below(own, two.clientID), []);
  two.getText("body").insert(2, "d");
  assert.deepEqual(ahead.below(own, two.clientID), said);
  ahead.stored(said[0]!);
  assert.deepEqual(ahead.below(own, two.clientID), [said[1]]);
  await clock.advance(6_000);
  assert.deepEqual(adopted, [said[1]]);
});

test("a provider keeps an application's own Y.Doc in step, and writes what was in it before", async () => {
  const cluster = await MemoryCluster.of(3);
  const [one, two] = [storeOver(hostStoreNode(cluster, "h1")), storeOver(hostStoreNode(cluster, "h2"))];
  const [mine, yours] = [new Y.Doc(), new Y.Doc()];
  mine.getText("body").insert(0, "before");
  const first = new EverwriteProvider(one, "notes/plan", mine);
  const statuses: string[] = [];
  first.on("status", ({ status }) => statuses.push(status));
  await first.whenSynced;
  assert.ok(first.synced);
  const second = new EverwriteProvider(two, "notes/plan", yours);
  await eventually(() => yours.getText("body").toJSON() === "before", "what was there before");
  first.awareness.setLocalStateField("user", { name: "Ada" });
  await eventually(() => second.awareness.getStates().has(mine.clientID), "Ada to be seen");
  yours.getText("body").insert(6, " and after");
  await eventually(() => mine.getText("body").toJSON() === "before and after", "the answer");
  await (
    await second.linked
  ).settled;
  first.destroy();
  second.destroy();
  await Promise.all([one.close(), two.close()]);
  assert.equal(statuses.at(-1), undefined);
  mine.destroy();
  yours.destroy();
  await cluster.stop();
});
