/**
 * `npm start`: a cluster of real hosts on this machine, a short story told with it, the demo page, and what to try next.
 */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import type { FastifyInstance } from "fastify";
import { StoreError } from "../core/errors.ts";
import { styled } from "./cli/terminal.ts";
import { claimDirectory } from "./demo/claim.ts";
import { type DemoHost, DemoHosts, isRunning, lastLogLines, mainFile } from "./demo/hosts.ts";
import { type HostPlace, type Layout, layOut } from "./demo/layout.ts";
import { createPageServer } from "./demo/page-server.ts";
import { DemoRelay } from "./demo/relay.ts";
import { tellStory } from "./demo/story.ts";
import { integerUpTo } from "./text-values.ts";

const HOSTS_MAX = 32;
/** Built by Vite beside this program. */
const SITE = fileURLToPath(new URL("../site", import.meta.url));
let hosts: DemoHosts | undefined;
let page: FastifyInstance | undefined;
let relay: DemoRelay | undefined;
let isStopping = false;

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void stop());

await main();

async function main(): Promise<void> {
  const { count, directory, story, demo } = readArguments();
  const holder = claimDirectory(directory);
  if (holder !== undefined) {
    const file = join(directory, "demo.pid");
    say(`A demo runs in ${directory}/ already, as process ${holder}: stop it, or start another one with --data DIR.`);
    say(`(If that process is another program, delete ${file}.)`);
    process.exitCode = 1;
    return;
  }
  const layout = await layOut(directory, count).catch((error: unknown) => {
    if (!(error instanceof StoreError)) throw error;
    say(error.message);
    process.exitCode = 1;
  });
  if (layout === undefined) return;
  for (const line of layout.moved) say(line);
  const started = (hosts = new DemoHosts({ layout, hostsMax: HOSTS_MAX, onDeath: reportDeath }));
  const pageUrl = demo ? await servePage(started, layout) : undefined;
  if (pageUrl !== undefined) say(`The shop, as soon as the hosts are ready: ${styled(process, "bold", pageUrl)}\n`);

  const progress = showProgress(layout.hosts);
  const [first, ...others] = layout.hosts as [HostPlace, ...HostPlace[]];
  const isFirstUp = started.start(first).then((ready) => progress(first, ready));
  // The first start: the others have nobody to join before host 1 has founded the cluster.
  if (!layout.founded) {
    if (!(await isFirstUp)) return giveUp([first]);
    layout.rememberFounded();
  }
  const ready = await Promise.all([
    isFirstUp,
    ...others.map(async (place) => progress(place, await started.start(place))),
  ]);
  if (isStopping) return;
  if (ready.includes(false)) return giveUp(layout.hosts.filter((_, index) => !ready[index]));

  say("");
  if (story)
    await tellStory(
      layout.hosts.map(({ url }) => url),
      say,
    ).catch(reportStoryFailure);
  say(ending(layout.hosts, directory, pageUrl));
}

interface DemoArguments {
  /** Undefined: as many as the last time, three the first time. */
  readonly count: number | undefined;
  readonly directory: string;
  readonly story: boolean;
  readonly demo: boolean;
}

function readArguments(): DemoArguments {
  const usage = "usage: npm start -- [--hosts 3] [--data .everwrite] [--no-story] [--no-demo]";
  try {
    const { values } = parseArgs({
      options: {
        hosts: { type: "string" },
        data: { type: "string", default: ".everwrite" },
        "no-story": { type: "boolean", default: false },
        "no-demo": { type: "boolean", default: false },
      },
    });
    const { hosts: wanted, data: directory } = values;
    const count = wanted === undefined ? undefined : integerUpTo(HOSTS_MAX).parse(wanted);
    if (wanted !== undefined && count === undefined) {
      throw new Error(`--hosts "${wanted}" is not ${integerUpTo(HOSTS_MAX).expects}`);
    }
    return { count, directory, story: !values["no-story"], demo: !values["no-demo"] };
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    process.exit(2);
  }
}

/** Its address; undefined where the page was not built. */
async function servePage(hosts: DemoHosts, layout: Layout): Promise<string | undefined> {
  if (!existsSync(SITE)) {
    say("The shop's page is not built: `npm run build` builds it. The hosts start without.");
    return undefined;
  }
  relay = new DemoRelay(layout.relay);
  relay.start();
  page = createPageServer({ cluster: layout.cluster, hosts, relay, site: SITE });
  return page.listen({ host: "127.0.0.1", port: layout.pagePort });
}

/** One line that grows on a terminal; a line for each host elsewhere. */
function showProgress(places: readonly HostPlace[]): (place: HostPlace, ready: boolean) => boolean {
  const states = new Map<number, boolean>();
  const line = (): string =>
    places
      .map(({ number }) => {
        const state = states.get(number);
        return `host ${number} ${state === undefined ? "…" : state ? "ready" : "FAILED"}`;
      })
      .join("  ");
  if (process.stdout.isTTY) process.stdout.write(line());
  return (place, ready) => {
    states.set(place.number, ready);
    if (!process.stdout.isTTY)
      say(`host ${place.number} ${ready ? `is ready at ${place.url}` : "did not become ready"}`);
    else process.stdout.write(`\r${line()}${states.size === places.length ? "\n" : ""}`);
    return ready;
  };
}

function ending(places: readonly HostPlace[], directory: string, pageUrl: string | undefined): string {
  const [first, second = first] = places as [HostPlace, ...HostPlace[]];
  const shop = pageUrl === undefined ? "" : `\nThe shop: ${styled(process, "bold", pageUrl)}\n`;
  return `
${places.map(({ number, url, log }) => `host ${number}: ${url}   process ${pidOf(number)}   log ${log}`).join("\n")}
${shop}
Three things to try, in another terminal:
  ${dim("# read the cart: value, siblings, context")}
  curl -i -H 'Accept: application/json' ${second.url}/kv/carts/alice
  ${dim(`# kill host ${second.number} the hard way, then write and read through another: nothing stops`)}
  kill -9 ${pidOf(second.number)}; curl -i -X PUT --data '["anything"]' ${first.url}/kv/carts/bob; curl ${first.url}/kv/carts/bob
  ${dim("# the same from the command line; `explain` shows where a key lives")}
  EVERWRITE_HTTP=${first.url} node ${relative(".", mainFile)} explain carts/alice

Ctrl-C stops all hosts; the data stays in ${join(directory, "/")} and the next start finds it again.`;
}

function pidOf(number: number): string {
  return String(hosts?.host(number).process.pid ?? "none");
}

function dim(text: string): string {
  return styled(process, "dim", text);
}

function reportDeath(host: DemoHost, how: string): void {
  const { number, log } = host.place;
  say(`\nhost ${number} died (${how}); the others go on. The end of ${log}:\n${lastLogLines(host)}`);
  // The page can start them again; without it nothing is left to keep this process alive.
  if (page === undefined && !hosts?.all.some(isRunning)) process.exitCode = 1;
}

function reportStoryFailure(error: unknown): void {
  say(`The story broke off: ${(error as Error).message}`);
}

async function giveUp(failed: readonly HostPlace[]): Promise<void> {
  if (isStopping) return;
  for (const { number } of failed) {
    const host = hosts!.host(number);
    if (!isRunning(host)) continue;
    say(`host ${host.place.number} does not become ready. The end of ${host.place.log}:\n${lastLogLines(host)}`);
  }
  process.exitCode = 1;
  await stop();
}

async function stop(): Promise<void> {
  if (isStopping) {
    await Promise.all([relay?.stop("SIGKILL"), hosts?.stopAll("SIGKILL")]);
    process.exit(1);
  }
  isStopping = true;
  say("\nstopping …");
  await Promise.all([page?.close(), relay?.stop("SIGTERM"), hosts?.stopAll("SIGTERM")]);
  say("all hosts have stopped");
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
