/**
 * Hosts on a disk that fills up, alone and as one of three. Demanded: writes are refused as `storage-full` and never
 * acknowledged in vain, reads go on, nothing is corrupt, writes resume without a restart once there is space again, and
 * one full host does not stop a cluster.
 */
import { join } from "node:path";
import { complaintsOf, writeUntil } from "../support/checked-load.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { httpStore } from "../support/key-store.ts";
import { Ledger } from "../support/ledger.ts";
import { SmallDisk } from "../support/small-disk.ts";
import type { Context, Figure, Trial, TrialResult } from "../tools/trial.ts";

const mebibyte = 1_048_576;
const diskMebibytes = 96;
/** Larger than usual, so that the disk is full in seconds. */
const valueBytes = 20_000;

export const trial: Trial = {
  name: "full-disk",
  summary: "a full disk refuses writes as storage-full, keeps reading and loses nothing, alone and as one of three",
  needs: ["tmpfs"],
  async run(context) {
    const results = [await alone(context), await oneOfThree(context)];
    return {
      figures: results.flatMap(({ figures }) => figures),
      failures: results.flatMap(({ failures }) => failures),
    };
  },
};

async function alone({ folder, log }: Context): Promise<TrialResult> {
  using disk = new SmallDisk(join(folder, "alone-disk"), diskMebibytes);
  await using hosts = new HostProcesses(join(folder, "alone"));
  await hosts.add({ data: join(disk.path, "data") });
  const host = kv(hosts.url(0));
  const ledger = new Ledger("alone", valueBytes);
  disk.crowd(32 * mebibyte);

  let codes = new Set<string>();
  for (let i = 0; !codes.has("storage-full") && i < 20_000; i++) {
    const { number, body } = ledger.begin(`alone/key${i}`, []);
    const put = await host.put(`alone/key${i}`, body);
    if (put.status === 200) ledger.acknowledge(number);
    else codes.add(put.json.error?.code ?? `${put.status}`);
  }
  const acknowledged = ledger.acknowledged;
  log(
    `alone: ${acknowledged} writes until ${[...codes].join(", ")}; ${Math.round(disk.freeBytes / mebibyte)} MiB free`,
  );
  const complaints = [...codes]
    .filter((code) => code !== "storage-full")
    .map((code) => `a put on a full disk is ${code}`);
  if (codes.size === 0) complaints.push("the disk did not fill up");
  // Far below the headroom: else a small write has room yet, by which a host finds out that it may go on.
  disk.crowd(8 * mebibyte);
  await eventually(
    async () => (await host.put("alone/one-more", "x")).json.error?.code === "storage-full",
    "the host to look at its disk again",
  );
  const { storage, notices } = await hosts.status(0);
  if (storage.state !== "full")
    complaints.push(`status says that the storage is ${storage.state}: ${notices.join("; ")}`);
  complaints.push(...(await complaintsOf(ledger, httpStore(hosts.urls))));

  disk.relieve();
  const relievedMs = performance.now();
  await eventually(
    async () => (await host.put("resumed/k", "x")).status === 200,
    "puts to resume after space was freed",
  );
  const resumedMs = performance.now() - relievedMs;
  complaints.push(...(await complaintsOf(ledger, httpStore(hosts.urls))));
  await hosts.signal(0, "SIGKILL");
  await hosts.startAll();
  complaints.push(...(await complaintsOf(ledger, httpStore(hosts.urls))));
  return {
    figures: [
      { name: "alone: writes until the disk was full", value: acknowledged, unit: "" },
      { name: "alone: writes resume after", value: resumedMs, unit: "ms" },
      { name: "alone: complaints", value: complaints.length, unit: "", bar: { atMost: 0 } },
    ],
    failures: complaints.slice(0, 10),
  };
}

async function oneOfThree({ folder, log, short }: Context): Promise<TrialResult> {
  using disk = new SmallDisk(join(folder, "third-disk"), diskMebibytes);
  await using hosts = new HostProcesses(join(folder, "three"));
  await hosts.add();
  await hosts.add();
  await hosts.add({ data: join(disk.path, "data") });
  await hosts.settled();
  disk.crowd(24 * mebibyte);

  const ledger = new Ledger("three", valueBytes);
  const stop = new AbortController();
  const writing = writeUntil(stop.signal, httpStore(hosts.urls), { ledger, writers: 8, keys: 2_000 });
  await eventually(
    async () => (await hosts.status(2)).storage.state === "full",
    "the disk of the third to be full",
    120_000,
  );
  const full = ledger.acknowledged;
  await new Promise((resolve) => setTimeout(resolve, short ? 3_000 : 15_000));
  const meanwhile = ledger.acknowledged - full;
  // Each host takes writes and answers reads, also the full one: it lets others do what it cannot.
  const refused: string[] = [];
  for (const [i, url] of hosts.urls.entries()) {
    for (let k = 0; k < 20; k++) {
      const put = await kv(url).put(`through/${i}-${k}`, "x");
      if (put.status !== 200)
        refused.push(`a put through host ${i + 1} while the third is full: ${put.json.error?.code}`);
    }
  }
  disk.relieve();
  const relievedMs = performance.now();
  await eventually(async () => (await hosts.status(2)).storage.state === "ok", "the third host to notice the space");
  const resumedMs = performance.now() - relievedMs;
  stop.abort();
  await writing;
  log(`one of three: ${full} writes until it was full, ${meanwhile} meanwhile`);
  const complaints = [...refused, ...(await complaintsOf(ledger, httpStore(hosts.urls)))];
  await hosts.killAll();
  await hosts.startAll();
  complaints.push(...(await complaintsOf(ledger, httpStore(hosts.urls))));
  const figures: Figure[] = [
    { name: "one of three: writes acknowledged while it was full", value: meanwhile, unit: "", bar: { atLeast: 1 } },
    { name: "one of three: it takes writes again after", value: resumedMs, unit: "ms" },
    { name: "one of three: complaints", value: complaints.length, unit: "", bar: { atMost: 0 } },
  ];
  return { figures, failures: complaints.slice(0, 10) };
}
