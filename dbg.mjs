import { simulate } from "./dist/test/sim/simulate.js";
import { drawScenario } from "./dist/test/sim/scenario.js";
import { membershipOn } from "./dist/test/sim/rows.js";
import { Clients } from "./dist/test/sim/clients.js";
import * as sim from "./dist/test/sim/simulate.js";
import { World } from "./dist/test/sim/world.js";
let w;
const orig = World.prototype.addHost;
World.prototype.addHost = function (...a) { w = this; return orig.apply(this, a); };
const r = await simulate(drawScenario(process.argv[2]));
console.log(r.violation);
const ser = (x) => JSON.stringify(x, (k, v) => v instanceof Uint8Array ? Buffer.from(v).toString("hex").slice(0,16) : v instanceof Map ? [...v] : v);
const all = w.hosts.map((h) => [h.name, membershipOn(h.disk.view).roster]);
for (const key of ["members", "holdings", "assignment", "secrets", "changes", "questions", "reapMarks"]) {
  const groups = new Map();
  for (const [n, ro] of all) { const s = ser(key==="members"||key==="holdings"||key==="reapMarks" ? [...ro[key]].sort((a,b)=>a[0]<b[0]?-1:1) : ro[key]); groups.set(s, [...(groups.get(s) ?? []), n]); }
  if (groups.size > 1) { console.log(key); for (const [s, n] of groups) console.log(n.join(), s.slice(0, 3000)); }
}
