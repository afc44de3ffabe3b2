import assert from "node:assert/strict";
import { test } from "node:test";
import type { Explanation, WriteAnswer } from "../../../core/api.ts";
import type { NodeId } from "../../../core/identity.ts";
import { untilSafe } from "../../../core/store/safety.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { failsWith } from "../../support/values.ts";

type Replica = Explanation["preferenceList"][number];

const dot = "00000000000000a1:1";
const random = { next: () => 0.5, bytes: (count: number) => new Uint8Array(count) };

function replica(role: Replica["role"], knowsIt: boolean): Replica {
  const clock = knowsIt ? [{ actor: "00000000000000a1", counter: 1, timeMs: 0 }] : [];
  return { id: "h" as NodeId, role, alive: true, zone: "", clock };
}

/** What waiting for all owners tells while the replicas are these, for a second. */
async function waited(replicas: readonly Replica[]): Promise<unknown> {
  const clock = new ManualClock();
  const explain = async (): Promise<Explanation> => ({
    key: "b/k",
    position: "",
    partition: 0,
    agreedAgoMs: null,
    siblings: [],
    preferenceList: replicas,
  });
  const receipt = { durable: [], hinted: [], needed: 2, got: 2, localOnly: false };
  const answer: WriteAnswer = { dot, context: null, receipt };
  const waiting = untilSafe(
    { node: { explain }, clock, random },
    { bucket: "b", name: "k", answer },
    { level: "all", timeoutMs: 1_000 },
  );
  const told = waiting.catch((error: unknown) => error);
  await clock.advance(1_000);
  return told;
}

test("a write that only fallbacks keep is at no owner yet", async () => {
  const owners = [replica("owner", false), replica("owner", false)];
  const told = await waited([...owners, replica("fallback", true)]);
  assert.ok(failsWith("quorum-not-met")(told), String(told));
});

test("a write whose name nobody knows any more was at all owners, and was forgotten", async () => {
  const replicas = [replica("owner", false), replica("owner", false), replica("fallback", false)];
  assert.equal(await waited(replicas), 2);
});

test("a write is safe when each owner has it", async () => {
  assert.equal(await waited([replica("owner", true), replica("owner", true), replica("fallback", false)]), 2);
});
