/** The command line: what it cannot do must not look like a pass. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const main = join(import.meta.dirname, "main.js");

function sim(...args: readonly string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8" });
  return { status, output: stdout + stderr };
}

test("a seed that is named as a failure names it is run alone", () => {
  const { status, output } = sim("--seed", "moves-3");
  assert.match(output, /^1 runs in .*1 passed, 0 failed$/ms);
  assert.equal(status, 0);
});

test("a run that time has cut short fails", () => {
  const { status, output } = sim("--runs", "500", "--threads", "1", "--minutes", "0.0001");
  assert.match(output, /^ended early: \d+ of 500 seeds were run$/m);
  assert.equal(status, 1);
});

const refused: readonly (readonly [sentence: RegExp, ...args: string[]])[] = [
  [/^no seed is called movers-3: /, "--seed", "movers-3"],
  [/^no seed is called 1e3: /, "--seed", "1e3", "--log"],
  [/^moves-3 is one seed: /, "--seed", "moves-3", "--runs", "10"],
  [/^moves-3 says by itself which profile it has/, "--seed", "moves-3", "--profile", "edges"],
  [/^no profile is called movers: /, "--profile", "movers", "--shrink"],
  [/^--runs many is no whole number above 0/, "--runs", "many"],
  [/^--threads 0 is no whole number above 0/, "--threads", "0"],
  [/^no story has a tale or an anecdote in its name/, "--story", "a tale", "--story", "an anecdote"],
  [/^no planted bug has a flower in its name/, "--planted", "a flower"],
];

for (const [sentence, ...args] of refused) {
  test(`refused: ${args.join(" ")}`, () => {
    const { status, output } = sim(...args);
    assert.match(output, sentence);
    assert.equal(status, 1);
  });
}
