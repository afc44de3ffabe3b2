/**
 * Live documents beside y-websocket's server, in the same run and between the same two Chromium profiles: what a keystroke
 * costs on the browsers' links, and how soon the other one sees it. And documents with a long history.
 * The two do not do the same: y-websocket's server has the document in memory alone, and acknowledges nothing; Everwrite's is
 * on the disks of three hosts and of both browsers, encrypted on its way. The bars are the same all the same.
 */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as Y from "yjs";
import { openStore } from "../../node-host/index.ts";
import { launchChromium, type Tab } from "../browser/chromium.ts";
import { isolated, servePage } from "../browser/page-server.ts";
import type { Functions } from "../browser/pages/editor.ts";
import { eventually } from "../support/eventually.ts";
import { loadAverage } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { LinkProxy } from "../support/link-proxy.ts";
import { freePort } from "../support/ports.ts";
import type { Context, Figure, Trial } from "../tools/trial.ts";

const textBytes = 100_000;
/** So many edits follow each other in one place. */
const wordEdits = 20;
const paces = [
  { everyMs: 5, bytesAtMost: 3 },
  { everyMs: 50, bytesAtMost: 5 },
] as const;

export const trial: Trial = {
  name: "yjs",
  summary: "keystrokes in a 100 kB text between two browsers, beside y-websocket; a document edited 100,000 times",
  needs: ["chromium"],
  async run(context) {
    const figures: Figure[] = [];
    for (const { everyMs, bytesAtMost } of paces) {
      const own = await overHosts(context, everyMs);
      context.log(`everwrite, a key per ${everyMs} ms: ${own.bytesPerKey.toFixed(0)} bytes per key`);
      const reference = await overWebsocket(context, everyMs);
      context.log(`y-websocket, a key per ${everyMs} ms: ${reference.bytesPerKey.toFixed(0)} bytes per key`);
      figures.push(...compared(everyMs, { own, reference, bytesAtMost }));
    }
    figures.push(...(await longHistory(context)), loadAverage());
    return { figures, failures: [] };
  },
};

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

interface Measured {
  /** On the links of both browsers, both ways. */
  readonly bytesPerKey: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** From an edit until hosts have acknowledged it. */
  readonly settledMs?: number;
}

function compared(
  everyMs: number,
  {
    own,
    reference,
    bytesAtMost,
  }: { readonly own: Measured; readonly reference: Measured; readonly bytesAtMost: number },
): Figure[] {
  const name = `a key per ${everyMs} ms`;
  const beside = (value: number) => ({ name: "y-websocket", value });
  return [
    {
      name: `${name}: bytes per key on both links`,
      value: own.bytesPerKey,
      unit: "B",
      reference: beside(reference.bytesPerKey),
    },
    // Edits are written together every so many milliseconds, so that it is a rate, too.
    {
      name: `${name}: the same, in times of y-websocket's`,
      value: own.bytesPerKey / reference.bytesPerKey,
      unit: "x",
      bar: { atMost: bytesAtMost },
    },
    {
      name: `${name}: seen by the other, p50`,
      value: own.p50Ms,
      unit: "ms",
      reference: beside(reference.p50Ms),
      bar: { atMost: 1.5 * reference.p50Ms },
    },
    {
      name: `${name}: seen by the other, p99`,
      value: own.p99Ms,
      unit: "ms",
      reference: beside(reference.p99Ms),
      bar: { atMost: 1.5 * reference.p99Ms },
    },
    { name: `${name}: an edit is durable at W hosts`, value: own.settledMs!, unit: "ms", bar: { atMost: 200 } },
  ];
}

async function overWebsocket(context: Context, everyMs: number): Promise<Measured> {
  const port = await freePort();
  const packaged = createRequire(import.meta.url).resolve("y-websocket/package.json");
  const server = join(dirname(packaged), "bin", "server.cjs");
  // In a process of its own: it brings Yjs as CommonJS, which would be a second copy here.
  const child = spawn(process.execPath, [server], { env: { ...process.env, HOST: "127.0.0.1", PORT: String(port) } });
  try {
    await using link = await LinkProxy.before(port);
    await eventually(async () => (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined))?.ok ?? false, "it");
    return await measured(context, everyMs, link, (tab) => tab.call("openWebsocket", `ws://127.0.0.1:${link.port}`));
  } finally {
    child.kill("SIGKILL");
  }
}

async function overHosts(context: Context, everyMs: number): Promise<Measured> {
  const port = await freePort();
  await using link = await LinkProxy.before(port);
  await using hosts = new HostProcesses(`${context.folder}/hosts-${everyMs}`);
  // Browsers have one host to dial; the others keep the copies.
  const [own, announced] = [port, link.port].map((each) => `/ip4/127.0.0.1/tcp/${each}/ws`);
  await hosts.add({ flags: ["--cluster", "shop", "--partitions", "64", "--p2p", own!, "--announce", announced!] });
  for (let i = 0; i < 2; i++) await hosts.add({ flags: ["--cluster", "shop", "--partitions", "64"] });
  await hosts.settled();
  return await measured(context, everyMs, link, async (tab) => {
    await tab.call("open", { name: "shop", seeds: [announced!] });
    await eventually(
      () => tab.call("connected"),
      () => `the page to be connected; ${tab.problems.join()}`,
    );
  });
}

async function measured(
  { short }: Context,
  everyMs: number,
  link: LinkProxy,
  open: (tab: Tab<Functions>) => Promise<unknown>,
): Promise<Measured> {
  await using server = await servePage(new URL("../browser/pages/editor.js", import.meta.url), { headers: isolated });
  await using one = await launchChromium();
  await using two = await launchChromium();
  const [writer, reader] = [await one.open<Functions>(server.url), await two.open<Functions>(server.url)];
  await open(writer);
  await open(reader);
  await writer.call("fill", textBytes);
  await writer.call("settled");
  await eventually(async () => (await reader.call("length")) === textBytes, "the text to be at the reader");
  const count = short ? 100 : 1_000;
  // What opening costs is over.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  link.bytes = 0;
  const typedMs = await writer.call("type", { count, everyMs });
  await eventually(
    async () => (await reader.call("length")) === textBytes + count,
    "all keystrokes to be at the reader",
  );
  await writer.call("settled");
  await new Promise((resolve) => setTimeout(resolve, 500));
  const bytesPerKey = link.bytes / count;
  const reachedMs = await reader.call("reached", textBytes, count);
  const latencies = reachedMs.map((ms, i) => ms - typedMs[i]!).toSorted((a, b) => a - b);
  const settledMs = await writer.call("timeToSettle");
  return { bytesPerKey, p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99), settledMs };
}

/** Loaded anew by a store on the same data. */
async function longHistory({ short, folder, log }: Context): Promise<Figure[]> {
  const edits = short ? 10_000 : 100_000;
  const data = `${folder}/long`;
  let bytes: number;
  let whole: number;
  {
    await using store = await openStore({ name: "long", data, partitions: 64 });
    const doc = await store.doc("notes/long");
    await doc.loaded;
    const edit = typist(doc.getText("body"));
    for (let i = 0; i < edits; i++) {
      edit(i);
      if (i % 500 === 499) await doc.flush();
    }
    await doc.settled;
    await eventually(() => doc.status().settled, "the document to be settled");
    whole = Y.encodeStateAsUpdate(doc).length;
    bytes = doc.status().bytes;
    log(`${edits} edits: ${bytes} bytes stored, ${whole} in one update`);
  }
  await using store = await openStore({ name: "long", data, partitions: 64 });
  const beginMs = performance.now();
  const doc = await store.doc("notes/long");
  await doc.loaded;
  await eventually(() => doc.getText("body").length > 0, "the text");
  const loadMs = performance.now() - beginMs;
  return [
    { name: `a document of ${edits} edits: loaded`, value: loadMs, unit: "ms", bar: { atMost: 300 } },
    {
      name: `a document of ${edits} edits: stored`,
      value: bytes / 1_000,
      unit: "kB",
      reference: { name: "Y.encodeStateAsUpdate", value: whole / 1_000 },
      bar: { atMost: (1.5 * whole) / 1_000 },
    },
  ];
}

/** As people write: letter after letter, each tenth taken back, then on somewhere else. */
function typist(text: Y.Text): (i: number) => void {
  let place = 0;
  return (i) => {
    if (i % wordEdits === 0) place = (i * 7_919) % (text.length + 1);
    if (i % 10 === 9) text.delete((place -= 1), 1);
    else text.insert(place++, "x");
  };
}
