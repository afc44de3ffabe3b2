/** Real processes whose clocks are wrong by an hour: of two edges, and of one host of three (PROTOCOL 3, *lww*). */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { clockOff, EdgeProcess } from "../support/edge-processes.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const hour = 3_600_000;
let folder: string;
let hosts: HostProcesses;

before(async () => {
  folder = dirname(temporaryDirectory());
  hosts = new HostProcesses(folder);
  await hosts.add();
  await hosts.add();
  await hosts.add({ env: clockOff(hour) });
  await hosts.settled();
});

after(() => hosts.stop());

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

for (const [way, offMs] of [
  ["ahead", hour],
  ["behind", -hour],
] as const) {
  test(`an edge whose clock is an hour ${way}: of two lww writes the later wins, the other is told, a session ends in time`, async () => {
    const host = kv(hosts.url(0));
    const put = (name: string, value: string) =>
      host.put(`edge/${name}`, value, { query: "w=all", headers: { "everwrite-kind": "lww" } });
    const edge = new EdgeProcess(join(folder, way), hosts.addresses, { clockOffMs: offMs });
    await edge.start([]);
    await put(`${way}-late`, "of a host");
    await pause(1_000);
    const lww = { do: "put", value: "of the edge", kind: "lww" } as const;
    const early = await edge.ask({ ...lww, name: `${way}-early` });
    const late = await edge.ask({ ...lww, name: `${way}-late` });
    const session = await edge.ask({ ...lww, name: `${way}-session`, ttlMs: 600_000 });
    assert.deepEqual([early.localOnly, late.localOnly, session.localOnly], [true, true, true]);
    await pause(1_000);
    await put(`${way}-early`, "of a host");

    // Another run: what it has not sent is as old as it is all the same.
    await edge.kill();
    await edge.start();
    try {
      await edge.ask({ do: "flush" });
      assert.deepEqual((await host.get(`edge/${way}-early`, "r=all")).values, ["of a host"]);
      assert.deepEqual((await host.get(`edge/${way}-late`, "r=all")).values, ["of the edge"]);
      assert.deepEqual((await edge.ask({ do: "get", name: `${way}-early` })).values, ["of a host"]);
      assert.deepEqual((await edge.ask({ do: "conflicts" })).conflicts, [early.dot]);
      const [sibling] = (await host.get(`edge/${way}-session`, "r=all")).json.siblings ?? [];
      const leftMs = Date.parse(sibling!.expires!) - Date.now();
      assert.ok(leftMs > 300_000 && leftMs <= 600_000, `${leftMs} ms are left`);
    } finally {
      await edge.kill();
    }
  });
}
