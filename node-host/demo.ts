/**
 * `npm start`: a cluster of real hosts on this machine, a short story told with it, and what to try next.
 */
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { styled } from "./cli/terminal.ts";
import {
  becomesReady,
  type HostProcess,
  isRunning,
  lastLogLines,
  mainFile,
  startHostProcess,
  stopAll,
} from "./demo/hosts.ts";
import { type HostPlace, layOut } from "./demo/layout.ts";
import { tellStory } from "./demo/story.ts";
import { integerUpTo } from "./text-values.ts";

const HOSTS_MAX = 32;
const hosts: HostProcess[] = [];
let isStopping = false;

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void stop());

await main();

async function main(): Promise<void> {
  const { count, directory, story } = readArguments();
  const layout = await layOut(directory, count);
  for (const line of layout.moved) say(line);

  const start = (place: HostPlace): Promise<boolean> => {
    const host = startHostProcess(place, layout.seedsOf(place), reportDeath);
    hosts.push(host);
    return becomesReady(host);
  };
  const progress = showProgress(count);
  const [first, ...others] = layout.hosts as [HostPlace, ...HostPlace[]];
  const isFirstUp = start(first).then((ready) => progress(first, ready));
  // The first start: the others have nobody to join before host 1 has founded the cluster.
  if (!layout.founded) {
    if (!(await isFirstUp)) return giveUp([first]);
    layout.rememberFounded();
  }
  const ready = await Promise.all([isFirstUp, ...others.map(async (place) => progress(place, await start(place)))]);
  if (isStopping) return;
  if (ready.includes(false)) return giveUp(layout.hosts.filter((_, index) => !ready[index]));

  say("");
  if (story)
    await tellStory(
      layout.hosts.map(({ url }) => url),
      say,
    ).catch(reportStoryFailure);
  say(ending(layout.hosts, directory));
}

function readArguments(): { count: number; directory: string; story: boolean } {
  const usage = "usage: npm start -- [--hosts 3] [--data .everwrite] [--no-story] [--no-demo]";
  try {
    const { values } = parseArgs({
      options: {
        hosts: { type: "string", default: "3" },
        data: { type: "string", default: ".everwrite" },
        "no-story": { type: "boolean", default: false },
        "no-demo": { type: "boolean", default: false }, // there is no demo page to leave out yet
      },
    });
    const count = integerUpTo(HOSTS_MAX).parse(values.hosts);
    if (count === undefined) throw new Error(`--hosts "${values.hosts}" is not ${integerUpTo(HOSTS_MAX).expects}`);
    return { count, directory: values.data, story: !values["no-story"] };
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    process.exit(2);
  }
}

/** One line that grows on a terminal; a line for each host elsewhere. */
function showProgress(count: number): (place: HostPlace, ready: boolean) => boolean {
  const states = new Map<number, boolean>();
  const line = (): string =>
    Array.from({ length: count }, (_, index) => {
      const state = states.get(index + 1);
      return `host ${index + 1} ${state === undefined ? "…" : state ? "ready" : "FAILED"}`;
    }).join("  ");
  if (process.stdout.isTTY) process.stdout.write(line());
  return (place, ready) => {
    states.set(place.number, ready);
    if (!process.stdout.isTTY)
      say(`host ${place.number} ${ready ? `is ready at ${place.url}` : "did not become ready"}`);
    else process.stdout.write(`\r${line()}${states.size === count ? "\n" : ""}`);
    return ready;
  };
}

function ending(places: readonly HostPlace[], directory: string): string {
  const [first, second = first] = places as [HostPlace, ...HostPlace[]];
  const victim = hosts.find(({ place }) => place === second)?.process.pid;
  return `
${places.map(({ number, url, log }) => `host ${number}: ${url}   log ${log}`).join("\n")}

Three things to try, in another terminal:
  ${dim("# read the cart: value, siblings, context")}
  curl -i -H 'Accept: application/json' ${second.url}/kv/carts/alice
  ${dim(`# kill host ${second.number} the hard way, then write and read through another: nothing stops`)}
  kill -9 ${victim ?? "PID"}; curl -i -X PUT --data '["anything"]' ${first.url}/kv/carts/bob; curl ${first.url}/kv/carts/bob
  ${dim("# the same from the command line; `explain` shows where a key lives")}
  EVERWRITE_HTTP=${first.url} node ${relative(".", mainFile)} explain carts/alice

Ctrl-C stops all hosts; the data stays in ${join(directory, "/")} and the next start finds it again.`;
}

function dim(text: string): string {
  return styled(process, "dim", text);
}

function reportDeath(host: HostProcess, how: string): void {
  const { number, log } = host.place;
  say(`\nhost ${number} died (${how}); the others go on. The end of ${log}:\n${lastLogLines(host)}`);
  if (!hosts.some(isRunning)) process.exitCode = 1; // nothing is left to keep this process alive
}

function reportStoryFailure(error: unknown): void {
  say(`The story broke off: ${(error as Error).message}`);
}

async function giveUp(failed: readonly HostPlace[]): Promise<void> {
  if (isStopping) return;
  for (const host of hosts.filter(({ place }) => failed.includes(place)).filter(isRunning)) {
    say(`host ${host.place.number} does not become ready. The end of ${host.place.log}:\n${lastLogLines(host)}`);
  }
  process.exitCode = 1;
  await stop();
}

async function stop(): Promise<void> {
  if (isStopping) {
    await stopAll(hosts, "SIGKILL");
    process.exit(1);
  }
  isStopping = true;
  say("\nstopping …");
  await stopAll(hosts, "SIGTERM");
  say("all hosts have stopped");
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
