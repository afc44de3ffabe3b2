/**
 * The shop under hard use: browsers that share one cart, put things into it at random, lose their network, are killed with
 * their profile on disk and come back, while hosts die. At the end every cart is the same, and each article is in it as
 * often as it was put there.
 */
import { join } from "node:path";
import { chromium } from "playwright";
import { catalogue } from "../../web-demo/catalogue.ts";
import { DemoProcess } from "../demo/demo-process.ts";
import { Shopper } from "../demo/shopper.ts";
import { needChromium } from "../support/chromium.ts";
import { eventually } from "../support/eventually.ts";
import { loadAverage } from "../support/figures.ts";
import { pause } from "../support/suspicion.ts";
import type { Context, Figure, Trial } from "../tools/trial.ts";

/** Between two things that a shopper does. */
const thinkMs = 3_000;
const settleLimitMs = 120_000;
/** Of a page's heap at the end over that after a minute. */
const heapRatioMax = 1.2;

interface Heap {
  readonly JSHeapUsedSize: number;
}

/** Somebody who shops until told to stop. What the page has not said to be on the device may be lost by a kill. */
class Customer {
  readonly tried = new Map<string, number>();
  readonly kept = new Map<string, number>();
  #shopper: Shopper;
  readonly #open: () => Promise<Shopper>;
  readonly problems: string[] = [];

  private constructor(shopper: Shopper, open: () => Promise<Shopper>) {
    this.#shopper = shopper;
    this.#open = open;
  }

  static async enter(open: () => Promise<Shopper>): Promise<Customer> {
    return new Customer(await open(), open);
  }

  get shopper(): Shopper {
    return this.#shopper;
  }

  async shop(isOver: () => boolean, mayBeKilled: boolean): Promise<void> {
    while (!isOver()) {
      const chance = Math.random();
      if (chance < 0.1) await this.#flipNetwork();
      else if (chance < 0.15 && mayBeKilled) await this.#dieAndComeBack();
      else await this.#add();
      await pause(Math.random() * 2 * thinkMs);
    }
    await this.backOnline();
  }

  async backOnline(): Promise<void> {
    const online = this.#shopper.button("Go online");
    if ((await online.count()) > 0) await online.click();
  }

  async quantities(): Promise<string> {
    return (await this.#shopper.cart()).toSorted().join(", ");
  }

  /** After a collection of garbage, bytes. */
  async heapBytes(): Promise<number> {
    const session = await this.#shopper.page.context().newCDPSession(this.#shopper.page);
    await session.send("HeapProfiler.collectGarbage");
    await session.send("Performance.enable");
    const { metrics } = await session.send("Performance.getMetrics");
    await session.detach();
    const heap = Object.fromEntries(metrics.map(({ name, value }) => [name, value])) as unknown as Heap;
    return heap.JSHeapUsedSize;
  }

  async leave(): Promise<void> {
    this.problems.push(...this.#shopper.problems);
    await this.#shopper[Symbol.asyncDispose]();
  }

  async #add(): Promise<void> {
    const { id, name } = catalogue[Math.floor(Math.random() * catalogue.length)]!;
    const { number: before = 0 } = (await this.#shopper.newestChange()) ?? {};
    count(this.tried, id);
    await this.#shopper.add(name);
    let change: Awaited<ReturnType<Shopper["newestChange"]>>;
    await eventually(
      async () => {
        change = await this.#shopper.newestChange();
        return change !== undefined && change.number > before && change.mark !== "saving";
      },
      () => `${name} to be on the device, after change ${before}, not ${JSON.stringify(change)}`,
    );
    const { what, mark } = change!;
    // What was done under a guessed rule is done again under the one that the cart has.
    const isDone = (what === `${name} added` || what === "Taken along") && !mark.startsWith("refused");
    if (!isDone) this.problems.push(`${name}: ${what}, ${mark}`);
    else count(this.kept, id);
  }

  async #flipNetwork(): Promise<void> {
    await this.#shopper.button("Go (?:off|on)line").click();
  }

  async #dieAndComeBack(): Promise<void> {
    this.problems.push(...this.#shopper.problems);
    await this.#shopper.browser.kill();
    this.#shopper = await this.#open();
  }
}

export const trial: Trial = {
  name: "shop",
  summary: "a cart shared by a dozen browsers that lose their network and are killed, while hosts die, loses nothing",
  needs: ["chromium"],
  async run({ short, folder, signal, log }) {
    await using demo = await DemoProcess.start(join(folder, "demo"));
    const [contexts, profiles, ms] = short ? [2, 1, 20_000] : [10, 3, 180_000];
    const place = `join/trial${Date.now()}`;
    const first = await Shopper.visit(demo.url, place);
    await first.page.getByLabel("Merge rule of this cart").selectOption({ label: "CRDT cart" });
    await first.everythingIsEverywhere();
    const firstViewMs = await viewMs(first);
    await first.page.evaluate("navigator.serviceWorker.ready");
    await first.page.reload();
    const laterViewMs = await viewMs(first);
    await first[Symbol.asyncDispose]();
    const views: Figure[] = [
      { name: "first view of a first visit", value: firstViewMs, unit: "ms" },
      { name: "first view of a later one, from this device", value: laterViewMs, unit: "ms" },
    ];

    const shared = await chromium.launch({ executablePath: needChromium(), args: ["--no-sandbox", "--disable-gpu"] });
    const customers: Customer[] = [];
    try {
      for (let at = 0; at < contexts; at += 1) {
        const context = await shared.newContext();
        customers.push(await Customer.enter(() => Shopper.among(context, demo.url, place)));
      }
      for (let at = 0; at < profiles; at += 1) {
        const profile = join(folder, `profile-${at}`);
        customers.push(await Customer.enter(() => Shopper.visit(demo.url, place, profile)));
      }
      log(`${customers.length} browsers shop for ${ms / 1_000} s`);
      const { figures, failures } = await judge({ demo, customers, contexts, ms, signal, log });
      return { figures: [...views, ...figures], failures };
    } finally {
      await Promise.all(customers.map((customer) => customer.leave()));
      await shared.close();
    }
  },
};

interface Case extends Pick<Context, "signal" | "log"> {
  readonly demo: DemoProcess;
  readonly customers: readonly Customer[];
  /** So many of them are never killed. */
  readonly contexts: number;
  readonly ms: number;
}

async function judge({ demo, customers, contexts, ms, signal, log }: Case) {
  const endMs = Date.now() + ms;
  const isOver = (): boolean => Date.now() > endMs || signal.aborted;
  const shopping = customers.map((customer, at) => customer.shop(isOver, at >= contexts));
  const hostsKilled = killHosts(demo, isOver);
  const heapAfterMs = Math.min(60_000, ms / 2);
  await pause(heapAfterMs);
  const heapBefore = await customers[0]!.heapBytes();
  await Promise.all(shopping);
  const killed = await hostsKilled;
  log(`all are back online after ${killed} kills of hosts: waiting for equal carts`);
  const shownAtMs = Date.now();
  const tried = sum(customers.map((customer) => customer.tried));
  const kept = sum(customers.map((customer) => customer.kept));
  const wrongIn = (cart: string): string[] =>
    catalogue.flatMap(({ id, name }) => {
      const shown = Number(new RegExp(`(\\d+) ${name}`).exec(cart)?.[1] ?? 0);
      const [least, most] = [kept.get(id) ?? 0, tried.get(id) ?? 0];
      return shown >= least && shown <= most
        ? []
        : [`${name} is there ${shown} times, and was put there ${least} to ${most} times`];
    });
  let carts: string[] = [];
  const areEqual = async (): Promise<boolean> => {
    carts = await Promise.all(customers.map((customer) => customer.quantities()));
    return new Set(carts).size === 1 && (await Promise.all(customers.map(isSettled))).every(Boolean);
  };
  // What a device wrote under a rule that it guessed is taken along some seconds after it is sent (`store/strays.ts`).
  const areWhole = async (): Promise<boolean> => (await areEqual()) && wrongIn(carts[0]!).length === 0;
  const failures: string[] = [];
  await eventually(
    areWhole,
    () => `equal carts with all in them, not ${[...new Set(carts)].join(" | ")}: ${wrongIn(carts[0]!).join("; ")}`,
    settleLimitMs,
  ).catch((error: Error) => failures.push(error.message));
  const equalMs = Date.now() - shownAtMs;
  const heapRatio = (await customers[0]!.heapBytes()) / heapBefore;
  const problems = customers.flatMap((customer) => [...customer.problems, ...customer.shopper.problems]);
  const figures: Figure[] = [
    { name: "articles put into the cart", value: total(kept), unit: "" },
    { name: "kills of hosts", value: killed, unit: "" },
    { name: "until all carts are equal and whole", value: equalMs, unit: "ms" },
    {
      name: "heap of a page at the end over that before",
      value: heapRatio,
      unit: "times",
      bar: { atMost: heapRatioMax },
    },
    loadAverage(),
  ];
  return { figures, failures: [...failures, ...problems] };
}

/** From the navigation to the first text on the screen, by the browser's own clock, ms. */
function viewMs({ page }: Shopper): Promise<number> {
  const paint = `new Promise((resolve) => {
    const observer = new PerformanceObserver((list) => {
      for (const { name, startTime } of list.getEntries()) if (name === "first-contentful-paint") resolve(startTime);
    });
    observer.observe({ type: "paint", buffered: true });
  })`;
  return page.evaluate<number>(paint);
}

const isSettled = ({ shopper }: Customer): Promise<boolean> =>
  shopper.page.getByText("Connected, all is sent").isVisible();

/** One at a time, as the page does it. Resolves with how often, when all run again. */
async function killHosts(demo: DemoProcess, isOver: () => boolean): Promise<number> {
  const { control } = (await (await fetch(`${demo.url}everwrite.json`)).json()) as { control: { token: string } };
  const headers = { "everwrite-demo-token": control.token };
  const act = (number: number, action: string): Promise<Response> =>
    fetch(`${demo.url}control/hosts/${number}/${action}`, { method: "POST", headers });
  let killed = 0;
  for (; !isOver(); killed += 1) {
    const number = 1 + (killed % 3);
    await act(number, "kill");
    await pause(5_000);
    await act(number, "restart");
    await pause(5_000);
  }
  return killed;
}

function count(counts: Map<string, number>, id: string): void {
  counts.set(id, (counts.get(id) ?? 0) + 1);
}

function sum(all: readonly ReadonlyMap<string, number>[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const [id, more] of all.flatMap((each) => [...each])) counts.set(id, (counts.get(id) ?? 0) + more);
  return counts;
}

function total(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((all, each) => all + each, 0);
}
