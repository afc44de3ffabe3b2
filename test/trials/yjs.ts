/**
 * Live documents beside y-websocket's server, in the same run and between the same two Chromium profiles: what a keystroke
 * costs on the browsers' links, and how soon the other one sees it. And documents with a long history.
 * The two do not do the same: y-websocket's server has the document in memory alone, and acknowledges nothing; Everwrite's is
 * on the disks of three hosts and of both browsers, encrypted on its way. The bars are the same all the same.
 */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
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
const referenceName = "y-websocket";
/** Of an edit whose write waits for others, ms. */
const durableMsMax = 200;
/** What edits still cause by then is theirs, ms: the news of what was stored come later than the edits themselves. */
const echoMs = 1_500;

export const trial: Trial = {
  name: "yjs",
  summary: "keystrokes in a 100 kB text between two browsers, beside y-websocket; a document edited 100,000 times",
  needs: ["chromium"],
  async run(context) {
    const figures = [...(await keystrokes(context)), ...(await longHistory(context)), loadAverage()];
    return { figures, failures: [] };
  },
};

/** One of the two systems: a text that is open in both browsers. */
interface Editors {
  readonly link: LinkProxy;
  readonly writer: Tab<Functions>;
  readonly reader: Tab<Functions>;
}

/** What was measured, of all turns. */
interface Typed {
  readonly keys: number;
  /** On the links of both browsers, both ways. */
  readonly bytes: number;
  /** From each edit until the other browser has it. */
  readonly latenciesMs: readonly number[];
  /** From the last edit of a turn until it is acknowledged, where it ever is. */
  readonly settledMs: readonly number[];
}

/** In turns, the first of one pair being the last of the next: whatever else the machine does falls on both. */
async function keystrokes(context: Context): Promise<Figure[]> {
  const pairs = context.short ? 2 : 8;
  const port = await freePort();
  await using link = await LinkProxy.before(port);
  await using websocket = await startWebsocket();
  await using websocketLink = await LinkProxy.before(websocket.port);
  await using hosts = new HostProcesses(`${context.folder}/hosts`);
  const address = `/ip4/127.0.0.1/tcp/${link.port}/ws`;
  await startHosts(hosts, port, address);
  await using server = await servePage(new URL("../browser/pages/editor.js", import.meta.url), { headers: isolated });
  await using one = await launchChromium();
  await using two = await launchChromium();
  const open = async (through: LinkProxy, connect: (tab: Tab<Functions>) => Promise<unknown>): Promise<Editors> => {
    const [writer, reader] = [await one.open<Functions>(server.url), await two.open<Functions>(server.url)];
    for (const tab of [writer, reader]) await connect(tab);
    await writer.call("fill", textBytes);
    await writer.call("settled");
    await eventually(async () => (await reader.call("length")) === textBytes, "the text to be at the reader");
    return { link: through, writer, reader };
  };
  const own = await open(link, (tab) => connectToHosts(tab, address));
  const reference = await open(websocketLink, (tab) =>
    tab.call("openWebsocket", `ws://127.0.0.1:${websocketLink.port}`),
  );
  // What opening costs is over.
  await sleep(2_000);
  const figures: Figure[] = [];
  for (const { everyMs, bytesAtMost } of paces) {
    const keys = context.short ? Math.min(200, 2_500 / everyMs) : 125;
    const turns = { own: [] as Typed[], reference: [] as Typed[] };
    for (let pair = 0; pair < pairs; pair++) {
      const order = pair % 2 === 0 ? (["own", "reference"] as const) : (["reference", "own"] as const);
      for (const which of order) {
        turns[which].push(await typed(which === "own" ? own : reference, { keys, everyMs }));
      }
    }
    figures.push(...compared(everyMs, { own: pooled(turns.own), reference: pooled(turns.reference), bytesAtMost }));
    context.log(`a key per ${everyMs} ms: ${pairs} turns of ${keys} keys each`);
  }
  return figures;
}

async function typed(
  { link, writer, reader }: Editors,
  { keys, everyMs }: { readonly keys: number; readonly everyMs: number },
): Promise<Typed> {
  const before = await reader.call("length");
  const bytesBefore = link.bytes;
  const { typedMs, settledMs } = await writer.call("type", { count: keys, everyMs });
  await eventually(async () => (await reader.call("length")) === before + keys, "all keystrokes to be at the reader");
  await sleep(echoMs);
  const bytes = link.bytes - bytesBefore;
  const reachedMs = await reader.call("reached", before, keys);
  return { keys, bytes, latenciesMs: reachedMs.map((ms, i) => ms - typedMs[i]!), settledMs: [settledMs] };
}

function pooled(turns: readonly Typed[]): Typed {
  return {
    keys: turns.reduce((sum, { keys }) => sum + keys, 0),
    bytes: turns.reduce((sum, { bytes }) => sum + bytes, 0),
    latenciesMs: turns.flatMap(({ latenciesMs }) => latenciesMs),
    settledMs: turns.flatMap(({ settledMs }) => settledMs),
  };
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

function compared(
  everyMs: number,
  { own, reference, bytesAtMost }: { readonly own: Typed; readonly reference: Typed; readonly bytesAtMost: number },
): Figure[] {
  const name = `a key per ${everyMs} ms`;
  const [bytes, referenceBytes] = [own.bytes / own.keys, reference.bytes / reference.keys];
  const seen = [0.5, 0.99].flatMap((q): Figure[] => {
    const [value, beside] = [quantile(own.latenciesMs, q), quantile(reference.latenciesMs, q)];
    const what = `${name}: seen by the other, p${100 * q}`;
    return [
      { name: what, value, unit: "ms", reference: { name: referenceName, value: beside } },
      { name: `${what}, in times of y-websocket's`, value: value / beside, unit: "x", bar: { atMost: 1.5 } },
    ];
  });
  return [
    {
      name: `${name}: bytes per key on both links`,
      value: bytes,
      unit: "B",
      reference: { name: referenceName, value: referenceBytes },
    },
    // Edits are written together every so many milliseconds, so that it is a rate, too.
    {
      name: `${name}: the same, in times of y-websocket's`,
      value: bytes / referenceBytes,
      unit: "x",
      bar: { atMost: bytesAtMost },
    },
    ...seen,
    {
      name: `${name}: an edit is durable at W hosts, p50`,
      value: quantile(own.settledMs, 0.5),
      unit: "ms",
      bar: { atMost: durableMsMax },
    },
    {
      name: `${name}: the slowest of ${own.settledMs.length}`,
      value: Math.max(...own.settledMs),
      unit: "ms",
      bar: { atMost: durableMsMax },
    },
  ];
}

/** Hosts, of which browsers know one, by its address at the proxy: the others keep the copies. */
async function startHosts(hosts: HostProcesses, port: number, address: string): Promise<void> {
  const flags = ["--cluster", "shop", "--partitions", "64"];
  await hosts.add({ flags: [...flags, "--p2p", `/ip4/127.0.0.1/tcp/${port}/ws`, "--announce", address] });
  for (let i = 0; i < 2; i++) await hosts.add({ flags });
  await hosts.settled();
}

async function connectToHosts(tab: Tab<Functions>, address: string): Promise<void> {
  await tab.call("open", { name: "shop", seeds: [address] });
  await eventually(
    () => tab.call("connected"),
    () => `the page to be connected; ${tab.problems.join()}`,
  );
}

/** In a process of its own: it brings Yjs as CommonJS, which would be a second copy here. */
async function startWebsocket(): Promise<AsyncDisposable & { readonly port: number }> {
  const port = await freePort();
  const packaged = createRequire(import.meta.url).resolve("y-websocket/package.json");
  const server = join(dirname(packaged), "bin", "server.cjs");
  const child = spawn(process.execPath, [server], { env: { ...process.env, HOST: "127.0.0.1", PORT: String(port) } });
  await eventually(async () => (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined))?.ok ?? false, "it");
  return { port, [Symbol.asyncDispose]: async () => void child.kill("SIGKILL") };
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
