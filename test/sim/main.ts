/** First light. */
import { describeScenario, drawScenario } from "./scenario.ts";
import { simulate } from "./simulate.ts";

const [first = "1", count = "1", echo] = process.argv.slice(2);
const start = performance.now();
for (let i = 0; i < Number(count); i++) {
  const seed = String(Number(first) + i);
  const scenario = drawScenario(seed);
  const t = performance.now();
  const report = await simulate(scenario, { echo: echo === "log" });
  if (report.violation || Number(count) < 20) console.log(seed, describeScenario(scenario), (performance.now() - t).toFixed(0), "ms");
  const { log, ...rest } = report;
  if (Number(count) < 5) console.log(rest);
  else if (report.violation) console.log(seed, report.violation);
}
console.log(((performance.now() - start) / 1000).toFixed(1), "s");
