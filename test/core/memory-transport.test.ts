import assert from "node:assert/strict";
import { it } from "node:test";
import { kindIs, number, transportConformance } from "../conformance/transport.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { realClock } from "../support/real-clock.ts";
import { MemoryNetwork, type MemoryTransport } from "./memory-transport.ts";

transportConformance("memory transport", () => {
  const network = new MemoryNetwork({
    clock: realClock,
    random: { next: Math.random },
    delayMs: [0, 3],
  });
  const nodes = new Map<string, MemoryTransport>();
  return {
    tooManyBytes: 65 * 1024 * 1024,
    async start(name) {
      const transport = network.node(name);
      nodes.set(name, transport);
      return { transport, address: transport.address };
    },
    kill: async (name) => nodes.get(name)?.die(),
    close: async () => nodes.forEach((node) => node.die()),
  };
});

async function lossyRun(seed: number): Promise<string[]> {
  const clock = new ManualClock();
  let state = seed;
  const next = (): number => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
  const network = new MemoryNetwork({ clock, random: { next }, delayMs: [1, 50], loss: 0.2 });
  const a = network.node("a");
  const b = network.node("b");
  const trace: string[] = [];
  b.serve(async (_from, body) => body);
  await a.meet(b.address);
  for (let n = 0; n < 50; n += 1) {
    a.request(b.self, number(n), 200).then(
      () => trace.push(`${n} answered ${clock.now().toFixed(3)}`),
      (error: Error) => trace.push(`${n} ${error.message}`),
    );
  }
  await clock.advance(Infinity);
  return trace;
}

it("the same seed gives the same trace, loss and delays included", async () => {
  const trace = await lossyRun(42);
  assert.deepEqual(await lossyRun(42), trace);
  assert.notDeepEqual(await lossyRun(43), trace);
  assert.ok(trace.some((line) => line.includes("no answer")) && trace.some((line) => line.includes("answered")));
});

it("a cut ends what waits as lost and lets nothing through until it is healed", async () => {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock, random: { next: () => 0.5 }, delayMs: [5, 5] });
  const a = network.node("a");
  const b = network.node("b");
  b.serve(async (_from, body) => body);
  await a.meet(b.address);
  const waiting = assert.rejects(a.request(b.self, number(1), 1000), kindIs("lost"));
  network.cut(a.self, b.self);
  await waiting;
  await assert.rejects(a.meet(b.address), kindIs("not-sent"));
  network.heal(a.self, b.self);
  a.keep(new Map([[b.self, []]]));
  await clock.advance(Infinity);
  const answer = a.request(b.self, number(2), 1000);
  await clock.advance(Infinity);
  assert.deepEqual(await answer, number(2));
});
