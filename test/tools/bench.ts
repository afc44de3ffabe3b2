/**
 * `npm run bench [-- NAME...] [--short]`: runs the modules of test/bench one after another, prints their tables
 * and writes them to `.everwrite/bench`. A bench measures and judges nothing; see `trials.ts` for bars.
 */
import { inFolder, keep, printTable, select } from "./measured.ts";
import type { Bench } from "./trial.ts";

const selection = await select<Bench>("bench", "bench");

for (const bench of selection.chosen) {
  if (selection.signal.aborted) break;
  console.log(`${bench.name}: ${bench.summary}`);
  const tables = await inFolder(selection, (context) => bench.run(context));
  for (const table of tables) printTable(table);
  console.log("");
  await keep("bench", bench.name, { short: selection.short, tables });
}

if (selection.chosen.length === 0) console.log("There is no bench yet.");
