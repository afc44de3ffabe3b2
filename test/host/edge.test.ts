/** An edge in a process of its own against three real hosts: offline, killed in the middle, hosts killed beside it. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { EdgeProcess } from "../support/edge-processes.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv, type Kv } from "../support/http-client.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

let folder: string;
let hosts: HostProcesses;
let through: readonly [Kv, Kv, Kv];

before(async () => {
  folder = dirname(temporaryDirectory());
  hosts = await HostProcesses.of(3, folder);
  through = [kv(hosts.url(0)), kv(hosts.url(1)), kv(hosts.url(2))];
});

after(() => hosts.stop());

async function withEdge(name: string, body: (edge: EdgeProcess) => Promise<void>): Promise<void> {
  const edge = new EdgeProcess(join(folder, name), hosts.addresses);
  await edge.start();
  try {
    await body(edge);
  } finally {
    await edge.kill();
  }
}

/** Dots of the siblings at the hosts. */
async function dotsOf(name: string): Promise<string[]> {
  const { json } = await through[0].get(`edge/${name}`, "r=all");
  return (json.siblings ?? []).map(({ dot }) => dot);
}

describe("an edge over libp2p", () => {
  test("writes what hosts serve to anybody, and reads what others wrote", () =>
    withEdge("plain", async (edge) => {
      await edge.connected();
      const put = await edge.ask({ do: "put", name: "cart", value: "book" });
      assert.equal(put.localOnly, false);
      const read = await through[1].get("edge/cart");
      assert.deepEqual(read.values, ["book"]);
      await through[2].put("edge/cart", "book, pen", { context: read.context });
      const { values, source } = await edge.ask({ do: "get", name: "cart" });
      assert.deepEqual([values, source], [["book, pen"], "quorum"]);
    }));

  test("killed again and again while it writes loses no resolved write, and no write is there twice", () =>
    withEdge("killed", async (edge) => {
      const resolved = new Map<string, string>();
      const begun = new Set<string>();
      for (let round = 0; round < 4; round++) {
        // In every other round no host is there.
        if (round % 2 === 1) await hosts.killAll();
        await edge.connected(round % 2 === 0);
        const puts = Array.from({ length: 60 }, async (_, i) => {
          const name = `r${round}-${i}`;
          begun.add(name);
          const { dot } = await edge.ask({ do: "put", name, value: name });
          if (dot !== undefined) resolved.set(name, dot);
        });
        const ended = Promise.all(puts);
        void ended;
        await eventually(
          () => [...resolved.keys()].filter((name) => name.startsWith(`r${round}-`)).length >= 20,
          "some writes",
        );
        await edge.kill();
        if (round % 2 === 1) await hosts.startAll();
        await edge.start();
      }
      await edge.connected();
      const { pending } = await edge.ask({ do: "flush" });
      assert.equal(pending, 0);
      for (const name of begun) {
        const dots = await dotsOf(name);
        if (resolved.has(name)) assert.deepEqual(dots, [resolved.get(name)], name);
        else assert.ok(dots.length <= 1, name);
      }
    }));

  test("delivers each write once though a host is killed while it takes them", () =>
    withEdge("host-killed", async (edge) => {
      await edge.connected();
      const puts = Array.from({ length: 100 }, (_, i) => edge.ask({ do: "put", name: `h${i}`, value: `${i}` }));
      await puts[10];
      await hosts.signal(1, "SIGKILL");
      const replies = await Promise.all(puts);
      await edge.ask({ do: "flush" });
      await hosts.startAll();
      for (const [i, { dot }] of replies.entries()) assert.deepEqual(await dotsOf(`h${i}`), [dot]);
    }));
});
