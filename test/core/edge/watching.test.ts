import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { EdgeNode } from "../../../core/edge/edge-node.ts";
import { Watching } from "../../../core/edge/watching.ts";
import { StoreError } from "../../../core/errors.ts";
import type { NodeId } from "../../../core/identity.ts";
import { encodeCall } from "../../../core/rpc/call.ts";
import type { edgeMethods } from "../../../core/rpc/edge-methods.ts";
import { Tasks } from "../../../core/tasks.ts";
import { eventually } from "../../support/eventually.ts";
import { realClock } from "../../support/real-clock.ts";
import { texts, utf8 } from "../../support/values.ts";
import { withEdges } from "./scene.ts";

interface AskedWatch {
  readonly begins: boolean;
  readonly add: readonly { readonly prefix: string }[];
  readonly waitMs: number;
}

/** An edge's watches with one host that answers as it is told here. */
function oneHost(answer: (asked: AskedWatch) => void): {
  readonly watching: Watching;
  readonly tasks: Tasks;
  readonly events: unknown[];
} {
  const events: unknown[] = [];
  const telemetry = { event: (event: unknown) => void events.push(event) };
  const tasks = new Tasks({ clock: realClock, telemetry });
  const host = "h1" as NodeId;
  const contact = {
    isConnected: true,
    wallMs: 0,
    tried: Promise.resolve(),
    hostsFor: () => [host],
    hosts: () => [host],
    askOne: async (_host: NodeId, method: typeof edgeMethods.edgeWatch, request: never) => {
      encodeCall(method, request);
      const asked = request as AskedWatch;
      answer(asked);
      if (asked.waitMs > 0) await tasks.sleep(asked.waitMs);
      return { keys: [], ring: "00".repeat(8), digests: [], news: [] };
    },
  };
  const watching = new Watching({
    contact,
    random: { bytes: (count: number) => new Uint8Array(count), next: () => 0 },
    tasks,
    telemetry,
    read: async () => ({ siblings: [], deleted: false, pending: false }),
    refresh: async () => {},
    isCurrent: async () => true,
    keys: () => [],
    compared: () => {},
  } as unknown as ConstructorParameters<typeof Watching>[0]);
  return { watching, tasks, events };
}

test("an edge that watches more than a request can name tells its host in several", async () => {
  const watched = 10_001;
  const begun = new Set<string>();
  const { watching, tasks, events } = oneHost(({ add }) => {
    for (const { prefix } of add) begun.add(prefix);
  });
  const end = new AbortController();
  for (let i = 0; i < watched; i += 1) {
    const changes = watching.watch("b", { name: `k${i}` }, end.signal)[Symbol.asyncIterator]();
    void changes.next();
  }
  await eventually(
    () => begun.size === watched,
    () => `all to be watched, not ${begun.size}`,
  );
  assert.deepEqual(events, []);
  end.abort();
  await tasks.stop(100);
});

test("what is watched is followed again after a failure that nobody expected", async () => {
  let asked = 0;
  const { watching, tasks, events } = oneHost(() => {
    asked += 1;
    if (asked === 1) throw new RangeError("unexpected");
  });
  const end = new AbortController();
  void watching.watch("b", { name: "k" }, end.signal).next();
  await eventually(() => asked > 1 && watching.isCompared, "it to be compared");
  end.abort();
  await tasks.stop(100);
  assert.equal(events.length, 1);
});

test("a host that has no room for what is watched is asked less and less often", async () => {
  let asked = 0;
  const { watching, tasks } = oneHost(() => {
    asked += 1;
    throw new StoreError("overloaded", "no room");
  });
  const end = new AbortController();
  void watching.watch("b", { name: "k" }, end.signal).next();
  await delay(3_000);
  const { isCompared } = watching;
  end.abort();
  await tasks.stop(100);
  assert.equal(isCompared, false);
  // At 0, 0.5, 1.5 and 3.5 s.
  assert.ok(asked >= 1 && asked <= 3, `asked ${asked} times`);
});

/** Watches these keys of bucket `b` until it is called. */
function watchAll(edge: EdgeNode, names: readonly string[]): { readonly seen: Set<string>; end(): Promise<void> } {
  const seen = new Set<string>();
  const end = new AbortController();
  const ended = names.map(async (name) => {
    for await (const { siblings } of edge.watch("b", { name }, end.signal))
      for (const text of texts(siblings)) seen.add(text);
  });
  return {
    seen,
    end: async () => {
      end.abort();
      await Promise.all(ended);
    },
  };
}

test("an edge that watches more than hosts take keeps what they took, and stops the watches of no other", () =>
  withEdges(3, async (edges, cluster) => {
    const greedy = await edges.connected("e1");
    const names = Array.from({ length: 2_000 }, (_, i) => `k${i}`);
    const first = watchAll(greedy, names);
    await eventually(() => greedy.facts().settled, "all that it may watch to be settled");
    const more = watchAll(greedy, ["more"]);
    const modest = await edges.connected("e2");
    const other = watchAll(modest, ["k7"]);
    await eventually(() => modest.facts().settled, "the other edge to be settled");
    await delay(1_000);
    assert.equal(greedy.facts().settled, false, "what is refused is not settled");
    await cluster.node("h1").put("b", "k7", utf8("changed"));
    await eventually(() => other.seen.has("changed") && first.seen.has("changed"), "both to be shown the change");
    await first.end();
    await eventually(() => greedy.facts().settled, "the refused to be settled once there is room");
    await cluster.node("h1").put("b", "more", utf8("shown"));
    await eventually(() => more.seen.has("shown"), "the refused to be shown its change");
    await Promise.all([more.end(), other.end()]);
  }));
