/** Nodes of a later version beside this one: what it cannot read it refuses and says so, changes nothing, and goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OutboxRow } from "../../core/edge/outbox.ts";
import type { NodeId } from "../../core/identity.ts";
import { call, encodeCall, methods } from "../../core/rpc/rpc.ts";
import { sealRecord, sealBytes } from "../../core/storage/record.ts";
import { eventually } from "../support/eventually.ts";
import type { MemoryEdges } from "../support/memory-edges.ts";
import { failsWith, texts, utf8 } from "../support/values.ts";
import { atHosts, flushed, online, valuesOf, withEdges } from "./edge/scene.ts";

const lww = { kind: "lww" } as const;

/** Where the last value of kind lww says so: the field's tag, and the number of the kind. -1: there is none. */
const placeOfLww = (encoded: Uint8Array): number => Buffer.from(encoded).lastIndexOf(Uint8Array.of(0x18, 1));

/** The same, where that is of a kind that this version does not know. */
function ofLaterKind(encoded: Uint8Array): Uint8Array {
  const at = placeOfLww(encoded);
  assert.ok(at >= 0, "there is an lww value");
  return encoded.with(at + 1, 7);
}

/** Hosts answer an edge with states of later kinds where they have lww values; until the returned function is called. */
function laterHosts(edges: MemoryEdges, name: string): () => void {
  const transport = edges.transport(name);
  const request = transport.request.bind(transport);
  const asked = [methods.edgeRead, methods.edgeFetch, methods.edgeWrite];
  transport.request = async (to, body, timeoutMs) => {
    const answer = await request(to, body, timeoutMs);
    const method = asked.find(({ number }) => number === body[0]);
    if (method === undefined || answer[0] !== 0) return answer;
    const told = method.response.decode(answer, 1);
    if (told.state === undefined || placeOfLww(told.state) < 0) return answer;
    return method.response.encode({ ...told, state: ofLaterKind(told.state) } as never, 0);
  };
  return () => {
    transport.request = request;
  };
}

test("an edge that cannot read what hosts have of a key says so, and loses nothing; all other keys go on", () =>
  withEdges(3, async (edges, cluster) => {
    await cluster.node("h1").put("b", "later", utf8("theirs"), { ...lww, w: "all" });
    await cluster.node("h1").put("b", "known", utf8("v1"), { ...lww, w: "all" });
    const edge = await edges.connected("e1");
    assert.deepEqual(await valuesOf(edge, "known"), ["v1"]);
    await cluster.node("h1").put("b", "known", utf8("v2"), { ...lww, w: "all" });
    const update = laterHosts(edges, "e1");

    await assert.rejects(edge.get("b", "later"), (error) => {
      assert.ok(failsWith("internal")(error));
      assert.match(String(error), /unreadable of b\/later: .*unknown choice 7/);
      return true;
    });
    const read = await edge.get("b", "known");
    assert.deepEqual([texts(read.siblings), read.source], [["v1"], "local"], "what it has says that it is its own");
    const shown: string[] = [];
    const end = new AbortController();
    const watching = (async () => {
      for await (const { name } of edge.watch("b", { prefix: "" }, end.signal)) shown.push(name);
    })();
    const { receipt } = await edge.put("b", "later", utf8("mine"), lww);
    assert.equal(receipt.localOnly, true);
    await edge.put("b", "other", utf8("v"), { w: "all" });
    await cluster.node("h1").put("b", "told", utf8("v"), { w: "all" });
    await eventually(() => shown.includes("other") && shown.includes("told"), "the watch to go on");
    assert.deepEqual([edge.facts().pending, edge.facts().parked], [1, 0]);
    assert.deepEqual(await atHosts(cluster, "later"), ["mine"], "it was delivered all the same");

    update();
    await flushed(edge);
    assert.deepEqual(await valuesOf(edge, "later"), ["mine"]);
    assert.deepEqual(await valuesOf(edge, "known"), ["v2"]);
    end.abort();
    await watching;
  }));

function isOfUnknownKind(body: Uint8Array): boolean {
  try {
    methods.edgeWrite.request.decode(body, 1);
    return false;
  } catch (error: unknown) {
    return String(error).includes("unknown choice 7");
  }
}

test("a host refuses the write of a later edge as a whole, and stores nothing of it", () =>
  withEdges(1, async (edges, cluster) => {
    const edge = await edges.start("e1", { seeds: [] });
    await edge.put("b", "k", utf8("mine"), lww);
    const sent: Uint8Array[] = [];
    const transport = edges.transport("e1");
    const request = transport.request.bind(transport);
    transport.request = async (to, body, timeoutMs) => {
      if (body[0] !== methods.edgeWrite.number) return request(to, body, timeoutMs);
      sent.push(body.slice());
      throw new Error("kept back");
    };
    await transport.meet("memory:h1");
    await eventually(() => sent.length > 0, "the write to be sent");
    const asked = methods.edgeWrite.request.decode(sent[0]!, 1);
    // Other fields of the request look like a kind too.
    const [later] = [...sent[0]!.keys()]
      .filter((at) => sent[0]![at] === 0x18 && sent[0]![at + 1] === 1)
      .map((at) => sent[0]!.with(at + 1, 7))
      .filter((body) => isOfUnknownKind(body));
    const asLater = { request: (to: NodeId, _body: Uint8Array, ms: number) => request(to, later!, ms) };
    await assert.rejects(call(asLater, "h1" as NodeId, methods.edgeWrite, asked, 5_000), (error) => {
      assert.ok(failsWith("bad-request")(error));
      assert.match(String(error), /unknown choice 7/);
      return true;
    });
    assert.equal((await cluster.node("h1").get("b", "k", { r: "all" })).context, null);
    await request("h1" as NodeId, encodeCall(methods.edgeWrite, asked), 5_000);
    assert.deepEqual(await atHosts(cluster, "k"), ["mine"], "as it was");
  }));

test("an edge keeps a row of its outbox that a later version has written, tells of it, and sends the others", () =>
  withEdges(3, async (edges, cluster) => {
    const edge = await edges.start("e1", { seeds: [] });
    await edge.put("b", "later", utf8("mine"), lww);
    await edge.put("b", "k", utf8("v"));
    await edges.kill("e1");
    const { rows } = await edges.disk("e1").page("hints", { limit: 10 });
    const [row] = rows.filter(({ value }) => OutboxRow.decode(value.subarray(0, -sealBytes)).key === "b/later");
    const { key } = row!;
    const value = sealRecord("hints", key, ofLaterKind(row!.value.subarray(0, -sealBytes)));
    await edges.disk("e1").batch([{ kind: "put", ns: "hints", key, value }], "synced");

    const again = await edges.start("e1", { seeds: [] });
    const told = edges.events.map(({ event }) => (event.kind === "corrupt-record" ? event.where : ""));
    assert.ok(
      told.some((where) => /of the outbox: .*unknown choice 7/.test(where)),
      told.join(),
    );
    await edges.transport("e1").meet("memory:h1");
    await online(again);
    await flushed(again);
    assert.deepEqual([await atHosts(cluster, "k"), await atHosts(cluster, "later")], [["v"], []]);
    assert.deepEqual(await edges.disk("e1").get("hints", key), value, "it is there for the version that can read it");
  }));
