import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { costsOf } from "./costs.ts";
import { type Spread, Study } from "./study.ts";

const size = { hosts: 30, partitions: 256 };

interface Studied {
  readonly restBytes: number;
  readonly change: Spread;
  readonly join: { readonly record: Spread; readonly tokens: Spread };
  readonly silence: Omit<Spread, "bytesPerHost">;
}

async function studied(gossips: boolean): Promise<Studied> {
  const study = await Study.begin({ ...size, gossips });
  const restBytes = await study.rest(5_000);
  const change = await study.change();
  return { restBytes, change, join: await study.join(), silence: await study.silence() };
}

describe("membership of 30 simulated hosts", () => {
  let on: Studied;
  let off: Studied;
  before(async () => {
    on = await studied(true);
    off = await studied(false);
  });

  test("has a change at all hosts within 2 s with gossip, and within 10 s without", () => {
    for (const { allMs } of [on.change, on.join.record, on.join.tokens]) assert.ok(allMs < 2_000, `${allMs} ms`);
    for (const { allMs } of [off.change, off.join.record, off.join.tokens]) assert.ok(allMs < 10_000, `${allMs} ms`);
  });

  test("spreads a change faster with gossip than without", () => {
    assert.ok(on.change.allMs < off.change.allMs / 2, `${on.change.allMs} and ${off.change.allMs} ms`);
    assert.ok(on.change.medianMs < off.change.medianMs);
  });

  test("costs an idle host less than 1.25 kB a second, whether it gossips or not", () => {
    for (const { restBytes } of [on, off]) assert.ok(restBytes > 100 && restBytes < 1_250, `${restBytes} bytes`);
  });

  test("costs a host less than 20 kB for a changed record", () => {
    for (const { change } of [on, off]) {
      assert.ok(change.bytesPerHost > 500 && change.bytesPerHost < 20_000, `${change.bytesPerHost} bytes`);
    }
  });

  test("has every host avoid a machine that fell silent within 10 s", () => {
    for (const { silence } of [on, off])
      assert.ok(silence.allMs > 1_000 && silence.allMs < 10_000, `${silence.allMs} ms`);
  });

  test("gives the same figures in every run", async () => {
    assert.deepEqual(await studied(true), on);
  });
});

test("a change, a newcomer and its tokens come to be known to all by the random round alone, later than otherwise", async () => {
  const usual = await Study.begin({ ...size, gossips: false });
  const slow = await Study.begin({ ...size, gossips: false, roundsOnly: true });
  const [sooner, later] = [await usual.change(), await slow.change()];
  assert.ok(later.medianMs > 2 * sooner.medianMs, `${later.medianMs} and ${sooner.medianMs} ms`);
  // It ends when the last host knows of both, and throws if one never does.
  await slow.join();
});

test("what membership takes on a disk grows with the hosts, not with their square, at one Q", async () => {
  const [small, large] = [
    await costsOf({ hosts: 30, partitions: 256 }),
    await costsOf({ hosts: 120, partitions: 256 }),
  ];
  const growth = large.rosterBytes / small.rosterBytes;
  assert.ok(growth > 2 && growth < 4.5, `${growth} times for 4 times the hosts`);
  assert.ok(large.memoryBytes > large.rosterBytes / 2, `${large.memoryBytes} bytes`);
});
