import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Chance } from "../sim/chance.ts";
import { figure6, figure8, paperLayout } from "./figures.ts";
import { drawn, efficiency, keyPositions, loadsOf, outOfBalance, popularity } from "./requests.ts";
import { everwrite, strategy1, strategy2, strategy3 } from "./strategies.ts";

const positions = keyPositions(20_000);

describe("the paper's Figure 8", () => {
  test("has strategy 3 above 1 with as many tokens, and planned places above dealt ones", () => {
    for (const tokens of [256, 1_024]) {
      const of = figure8({ tokens, exponent: 0, positions, rings: 4 });
      assert.ok(of.strategy3 > of.strategy1 + 0.05, JSON.stringify(of));
      assert.ok(of.everwrite > of.strategy3, JSON.stringify(of));
    }
  });

  test("has every strategy gain by more tokens", () => {
    const [few, many] = [64, 1_024].map((tokens) => figure8({ tokens, exponent: 0, positions, rings: 4 }));
    for (const strategy of ["strategy1", "strategy2", "strategy3", "everwrite"] as const) {
      assert.ok(many![strategy] > few![strategy] + 0.1, strategy);
    }
  });
});

describe("the paper's Figure 6", () => {
  test("has fewer hosts out of balance at full load than at an eighth of it", () => {
    const at = figure6(everwrite(paperLayout, 1_024), { exponent: 0.7, positions, requests: 50_000, windows: 12 });
    assert.ok(at.full < at.eighth, JSON.stringify(at));
    assert.ok(at.eighth > 0.05 && at.full < 0.5, JSON.stringify(at));
  });
});

describe("a placement", () => {
  const placements = {
    strategy1: strategy1(paperLayout, 8, new Chance("placement")),
    strategy2: strategy2(paperLayout, 8, new Chance("placement")),
    strategy3: strategy3(paperLayout, 256, new Chance("placement")),
    everwrite: everwrite(paperLayout, 256),
  };

  test("has three distinct hosts for every position, and uses all hosts", () => {
    for (const [name, placement] of Object.entries(placements)) {
      const used = new Set<number>();
      for (const position of [0, 0.999_999_9, ...positions.subarray(0, 5_000)]) {
        const owners = placement(position);
        assert.equal(new Set(owners).size, 3, name);
        for (const owner of owners) used.add(owner);
      }
      assert.equal(used.size, 30, name);
    }
  });

  test("by strategies 1 and 2 differs only near tokens", () => {
    const { strategy1: first, strategy2: second } = placements;
    const differing = [...positions].filter((position) => String(first(position)) !== String(second(position)));
    assert.ok(differing.length > 0 && differing.length < positions.length / 8, `${differing.length}`);
  });
});

describe("requests", () => {
  test("count at all N hosts of their key", () => {
    const counts = Float64Array.of(5, 0, 2);
    const loads = loadsOf({ hosts: 4 }, (position) => (position < 0.5 ? [0, 1] : [1, 2]), {
      positions: Float64Array.of(0.1, 0.2, 0.7),
      counts,
    });
    assert.deepEqual([...loads], [5, 7, 2, 0]);
    assert.equal(efficiency(loads), 0.5);
    assert.equal(outOfBalance(Float64Array.of(100, 100, 114, 86, 100, 180)), 2 / 6);
  });

  test("are drawn by popularity", () => {
    const shares = popularity(100, 1);
    assert.ok(Math.abs(shares[0]! / shares[9]! - 10) < 1e-9);
    const counts = drawn(shares, 100_000, new Chance("draws"));
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      100_000,
    );
    for (const key of [0, 1, 9, 99]) assert.ok(Math.abs(counts[key]! / (100_000 * shares[key]!) - 1) < 0.2, `${key}`);
  });
});
