import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { GatheredReads } from "../../node-host/gathered-reads.ts";

/** Rows are their keys; odd ones cannot be read. */
function reads() {
  const trips: number[][] = [];
  const gathered = new GatheredReads(async (keys) => {
    const asked = keys.map(([key]) => key!);
    trips.push(asked);
    const odd = asked.find((key) => key % 2 === 1);
    if (odd !== undefined) throw new Error(`row ${odd} is damaged`);
    return keys;
  });
  return { trips, get: (key: number) => gathered.get(Uint8Array.of(key)).then((row) => row?.[0]) };
}

describe("reads of single rows", () => {
  test("share a trip with those that are asked for in the same turn, whoever asks", async () => {
    const { trips, get } = reads();
    const asks = async (first: number, second: number) => [await get(first), await get(second)];
    assert.deepEqual(await Promise.all([asks(0, 2), asks(4, 6), asks(8, 10)]), [
      [0, 2],
      [4, 6],
      [8, 10],
    ]);
    assert.deepEqual(trips, [
      [0, 4, 8],
      [2, 6, 10],
    ]);
  });

  test("go in several trips where they are many, so that none waits for all others", async () => {
    const { trips, get } = reads();
    await Promise.all(Array.from({ length: 40 }, (_, i) => get(2 * i)));
    assert.deepEqual(
      trips.map(({ length }) => length),
      [16, 16, 8],
    );
  });

  test("that cannot be read fail no other reader", async () => {
    const { get } = reads();
    const ended = await Promise.allSettled([get(0), get(1), get(2), get(3)]);
    const told = ended.map((each) => (each.status === "fulfilled" ? each.value : (each.reason as Error).message));
    assert.deepEqual(told, [0, "row 1 is damaged", 2, "row 3 is damaged"]);
  });
});
