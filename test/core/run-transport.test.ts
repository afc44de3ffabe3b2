import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId } from "../../core/identity.ts";
import { type Transport, TransportError } from "../../core/ports.ts";
import { transportOfRun } from "../../core/rpc/run-transport.ts";

const unused = (): never => assert.fail("nobody asked for this");
const isOver = (kind: TransportError["kind"]) => (error: unknown) =>
  error instanceof TransportError && error.kind === kind && error.message === "this run of the node is over";

test("a run that is over hears no answer that comes late, meets nobody, and sends nothing", async () => {
  const answers: (() => void)[] = [];
  const later = <T>(answer: T): Promise<T> => new Promise((resolve) => answers.push(() => resolve(answer)));
  const node: Transport = {
    self: "a" as NodeId,
    request: (_to, body) => later(body),
    meet: () => later("b" as NodeId),
    tell: unused,
    serve: unused,
    keep: unused,
    peers: unused,
    onPeerChange: unused,
  };
  const run = { isOver: false };
  const transport = transportOfRun(node, run);
  const body = Uint8Array.of(1);
  const inTime = transport.request("b" as NodeId, body, 100);
  answers.pop()!();
  assert.equal(await inTime, body);
  const waiting = [transport.request("b" as NodeId, body, 100), transport.meet("b")];
  run.isOver = true;
  for (const answer of answers) answer();
  for (const each of waiting) await assert.rejects(each, isOver("lost"));
  await assert.rejects(transport.request("b" as NodeId, body, 100), isOver("not-sent"));
});
