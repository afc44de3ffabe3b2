/** One host by itself: what it tells others of its HTTP, how it stops, and what it tells when its directory is gone. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startHost } from "../../node-host/host.ts";
import { type HostFlags, readHostOptions } from "../../node-host/options.ts";
import { everwrite } from "../support/everwrite.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { freePort } from "../support/ports.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const main = fileURLToPath(new URL("../../node-host/main.js", import.meta.url));

describe("where its HTTP is", () => {
  /** What it tells, and the port where it listens. */
  async function told(flags: HostFlags): Promise<{ readonly http: string; readonly port: string }> {
    const p2p = ["/ip4/127.0.0.1/tcp/0"];
    const host = await startHost(readHostOptions({ data: temporaryDirectory(), p2p, logLevel: "error", ...flags }, {}));
    try {
      await host.ready;
      const [own] = (await host.node.status()).members;
      return { http: own!.http, port: new URL(host.httpUrl).port };
    } finally {
      await host.stop();
    }
  }

  test("on one address, it tells that", async () => {
    const { http, port } = await told({ http: "127.0.0.1:0" });
    assert.equal(http, `http://127.0.0.1:${port}`);
  });

  test("on all addresses, it tells one where it is reached, or none", async () => {
    const everywhere = { http: "0.0.0.0:0" };
    const announced = await told({ ...everywhere, announce: ["/ip4/192.0.2.7/tcp/4001"] });
    assert.equal(announced.http, `http://192.0.2.7:${announced.port}`);
    const overIp6 = await told({ ...everywhere, announce: ["/ip6/2001:db8::7/tcp/4001"] });
    assert.equal(overIp6.http, `http://[2001:db8::7]:${overIp6.port}`);
    // To a name it answers only where it was told so, and perhaps at another port.
    assert.equal((await told({ ...everywhere, announce: ["/dns4/a.example/tcp/443/wss"] })).http, "");
    const alone = await told(everywhere);
    assert.equal(alone.http, `http://127.0.0.1:${alone.port}`, "whoever reaches it is on its machine");
  });
});

test("a host or a relay that is told to stop while it starts does so cleanly", async () => {
  for (const verb of ["host", "relay"]) {
    const data = temporaryDirectory();
    await mkdir(data);
    const [keyFile, key] = [join(data, "identity.key"), join(data, "made.key")];
    assert.equal((await everwrite("key", "new", key)).code, 0);
    // It waits for its key until this writer comes.
    assert.equal(spawnSync("mkfifo", ["-m", "600", keyFile]).status, 0);
    const flags = ["--data", data, "--p2p", "/ip4/127.0.0.1/tcp/0"];
    if (verb === "host") flags.push("--http", "127.0.0.1:0");
    const child = spawn(process.execPath, [main, verb, ...flags], { stdio: "ignore" });
    const ended = once(child, "exit");
    const writer = await open(keyFile, "w");
    child.kill("SIGTERM");
    await writer.writeFile(await readFile(key));
    await writer.close();
    assert.deepEqual(await ended, [0, null], verb);
  }
});

test("a host goes on although nobody reads its outputs any more, and is stopped cleanly", async () => {
  const [data, port] = [temporaryDirectory(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const flags = ["--data", data, "--p2p", "/ip4/127.0.0.1/tcp/0", "--http", `127.0.0.1:${port}`];
  const child = spawn(process.execPath, [main, "host", ...flags], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "exit");
  for (const output of [child.stdout, child.stderr]) output.destroy();
  const isReady = async (): Promise<boolean> => (await fetch(`${url}/readyz`).catch(() => undefined))?.ok ?? false;
  try {
    await Promise.race([eventually(isReady, "it to be ready"), ended]);
    assert.equal(child.exitCode, null, "it runs");
    child.kill("SIGTERM");
    assert.deepEqual(await ended, [0, null]);
  } finally {
    child.kill("SIGKILL");
  }
});

test("a host whose data directory is gone tells so", async () => {
  await using hosts = await HostProcesses.of(1, dirname(temporaryDirectory()));
  await rm(join(hosts.data(0), "store"), { recursive: true });
  const { ready, storage, notices } = await hosts.status(0);
  assert.deepEqual([ready, storage.state, storage.bytes], [true, "failed", 0]);
  assert.ok(notices.some((text) => text.startsWith("storage is failed")));
  const metrics = await fetch(`${hosts.url(0)}/metrics`);
  assert.equal(metrics.status, 200);
  assert.match(await metrics.text(), /everwrite_storage_ok 0/);
});
