/** Real hosts that end under load, by force or asked to: nothing that was acknowledged is missing, nothing is corrupt. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import { complaintsOf, writeUntil } from "../support/checked-load.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { httpStore } from "../support/key-store.ts";
import { Ledger } from "../support/ledger.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

let hosts: HostProcesses;

before(async () => {
  hosts = await HostProcesses.of(3, dirname(temporaryDirectory()));
});

after(() => hosts.stop());

/** Writes through all hosts, and does `strike` in the middle of it. */
async function underLoad(ledger: Ledger, strike: () => Promise<void>): Promise<void> {
  const store = httpStore(hosts.urls);
  const stop = new AbortController();
  const writing = writeUntil(stop.signal, store, { ledger, writers: 12, keys: 40 });
  const enough = ledger.acknowledged + 50 + Math.random() * 200;
  try {
    await eventually(() => ledger.acknowledged >= enough, "the load to get going");
    await strike();
  } finally {
    stop.abort();
    await writing;
  }
}

describe("under load", () => {
  test("three times all hosts are killed at once, and every acknowledged write is there when they are back", async () => {
    const ledger = new Ledger("killed");
    for (let round = 1; round <= 3; round++) {
      await underLoad(ledger, () => hosts.killAll());
      await hosts.startAll();
      assert.deepEqual(await complaintsOf(ledger, httpStore(hosts.urls)), [], `round ${round}`);
    }
    assert.ok(ledger.acknowledged >= 150);
  });

  test("each host in turn is told to stop and started again: it ends with 0, and every acknowledged write is there", async () => {
    const ledger = new Ledger("stopped-in-turn");
    for (let i = 0; i < hosts.size; i++) {
      let code: number | null = null;
      await underLoad(ledger, async () => {
        code = await hosts.signal(i, "SIGTERM");
      });
      assert.equal(code, 0, hosts.log(i).slice(-1_000));
      await hosts.startAll();
      assert.deepEqual(await complaintsOf(ledger, httpStore(hosts.urls)), [], `after host ${i + 1}`);
    }
  });

  test("all hosts are told to stop together: each ends with 0, and every acknowledged write is there", async () => {
    const ledger = new Ledger("stopped-together");
    const codes: (number | null)[] = [];
    await underLoad(ledger, async () => {
      codes.push(...(await Promise.all([0, 1, 2].map((i) => hosts.signal(i, "SIGTERM")))));
    });
    assert.deepEqual(codes, [0, 0, 0]);
    await hosts.startAll();
    assert.deepEqual(await complaintsOf(ledger, httpStore(hosts.urls)), []);
  });
});
