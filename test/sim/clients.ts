/** Clients: they carry operations out, remember what contexts they were given, and tell the oracle what was answered. */
import { nothingSeen } from "../../core/causality/version-set.ts";
import type { Dot } from "../../core/causality/version-set.ts";
import type { WriteAnswer } from "../../core/api.ts";
import { StoreError, statusOfCode } from "../../core/errors.ts";
import type { EverwriteNode } from "../../core/node.ts";
import type { QuorumSpec } from "../../core/config.ts";
import type { Chance } from "./chance.ts";
import type { SimHost } from "./host.ts";
import { checkAnchored } from "./owners.ts";
import { checkHeldByAll, heldByAll } from "./reads.ts";
import { coverageOf } from "./rows.ts";
import type { Operation } from "./scenario.ts";
import type { World } from "./world.ts";
import { bodyOf, contentTypeOf, newWrite, type Write } from "./write.ts";

const bucket = "sim";

interface Given {
  readonly text: string;
  readonly vector: readonly Dot[];
}

export class Clients {
  readonly #world: World;
  readonly #chance: Chance;
  /** By client and key, oldest first. */
  readonly #contexts = new Map<string, Given[]>();
  readonly counts = { issued: 0, skipped: 0, acknowledged: 0, read: 0, failed: 0 };
  running = 0;

  constructor(world: World) {
    this.#world = world;
    this.#chance = world.chance.fork("clients");
  }

  start(operation: Operation): void {
    this.running += 1;
    const host = this.#hostFor(operation.host);
    if (host === undefined) this.counts.skipped += 1;
    const work = host === undefined ? Promise.resolve() : this.run(host, operation);
    void work.finally(() => {
      this.running -= 1;
    });
  }

  #hostFor(index: number): SimHost | undefined {
    const ready = [...this.#world.hosts, ...this.#world.twins].filter((host) => host.ready);
    return ready[index % ready.length];
  }

  async run(host: SimHost, operation: Operation): Promise<void> {
    this.counts.issued += 1;
    const name = `key${operation.key}`;
    if (operation.verb === "local") return this.readLocal(host, name);
    if (operation.verb === "get" || operation.verb === "update") {
      const read = await this.get(host, name, operation.quorum, operation.client);
      if (operation.verb === "get" || !read) return;
    }
    await this.put(host, operation);
  }

  async readLocal(host: SimHost, name: string): Promise<void> {
    const answer = await attempt(host, (node) => node.getLocal(bucket, name));
    if (answer.kind !== "answered") return;
    const { siblings, context, holding } = answer.value;
    const vector = context === null ? [] : coverageOf(context).vector;
    if (holding === "complete" && !this.#world.twins.includes(host))
      this.#world.arrivals.claims(host, keyOf(name), vector);
    const where = `${host.name} reading ${name} here`;
    this.#world.oracle.answered(keyOf(name), where, {
      siblings,
      context: vector,
      wallMs: host.wallTime(),
      host: host.name,
    });
    this.counts.read += 1;
  }

  /** Whether there was an answer. */
  async get(host: SimHost, name: string, r: QuorumSpec, client: number): Promise<boolean> {
    const { oracle, schedule } = this.#world;
    const key = keyOf(name);
    const sinceMs = schedule.nowMs;
    const expected = oracle.mustBeRead(key, r);
    const heldBefore = heldByAll(this.#world, key);
    const answer = await attempt(host, (node) => node.get(bucket, name, { r }));
    const where = `${host.name} get ${name} r=${r}`;
    schedule.log(
      `client ${client} ${where}: ${answer.kind === "answered" ? describe(answer.value) : `${answer.code} ${answer.text ?? ""}`}`,
    );
    if (answer.kind !== "answered") {
      this.counts.failed += 1;
      if (answer.code === untyped) oracle.broken("every failure is a typed error", `${where}: ${answer.text}`);
      return false;
    }
    const { siblings, context, degraded } = answer.value;
    const vector = context === null ? nothingSeen.vector : coverageOf(context).vector;
    oracle.answered(key, where, { siblings, context: vector, wallMs: host.wallTime(), host: host.name });
    if (!degraded) {
      oracle.read(key, where, { expected, sinceMs, context: vector });
      if (heldBefore !== undefined) {
        await checkHeldByAll(this.#world, key, { where, expected: heldBefore, context: vector });
      }
    }
    if (context !== null) this.#given(client, key).push({ text: context, vector });
    this.counts.read += 1;
    return true;
  }

  /** A put or a delete with all its repeats. The write, acknowledged or not. */
  async put(host: SimHost, operation: Operation): Promise<Write> {
    const { oracle, schedule } = this.#world;
    const name = `key${operation.key}`;
    const key = keyOf(name);
    const context = this.#contextFor(operation, key);
    const id = oracle.writes.length;
    const verb = operation.verb === "delete" ? "delete" : "put";
    const write = newWrite({
      id,
      key,
      verb,
      body: verb === "delete" ? new Uint8Array(0) : bodyOf(id, operation.bytes),
      context: context?.vector ?? [],
      forged: context?.forged === true,
      ttlMs: verb === "put" ? operation.ttlMs : undefined,
      writeId: operation.withId ? id.toString(16).padStart(16, "0") : undefined,
      startedMs: schedule.nowMs,
    });
    oracle.writes.push(write);
    let at: SimHost | undefined = host;
    for (let tries = 0; tries <= operation.repeats && write.ack === undefined; tries++) {
      if (tries > 0) {
        await this.#world.sleep(this.#chance.logarithmic(1, 5_000));
        // An id holds for half the grace period.
        if (schedule.nowMs - write.startedMs > this.#world.graceMs / 2) break;
        at = this.#hostFor(this.#chance.whole(0, 99));
      }
      if (at !== undefined) await this.#try(at, name, { write, operation, context: context?.text });
    }
    const isRefused = (code: string): boolean => (statusOfCode[code as keyof typeof statusOfCode] ?? 500) < 500;
    if (write.outcomes.length > 0 && write.outcomes.every(isRefused)) oracle.refused(write, `${verb} ${name}`);
    return write;
  }

  async #try(
    host: SimHost,
    name: string,
    { write, operation, context }: { write: Write; operation: Operation; context: string | undefined },
  ): Promise<void> {
    const { oracle, schedule } = this.#world;
    const options = {
      ...(context === undefined ? {} : { context }),
      ...(operation.pw === undefined ? {} : { pw: operation.pw }),
      ...(write.writeId === undefined ? {} : { writeId: write.writeId }),
      ...(write.ttlMs === undefined ? {} : { ttlMs: write.ttlMs }),
      ...(operation.ifAbsent && write.verb === "put" ? { ifAbsent: true } : {}),
      w: operation.quorum,
      kind: operation.lww ? ("lww" as const) : ("opaque" as const),
      returnSiblings: operation.returnSiblings,
      // Deletes take it too, although their type does not offer it: so a tombstone tells whose it is.
      contentType: contentTypeOf(write.id),
    };
    const where = `${host.name} ${write.verb} ${name} w=${operation.quorum}`;
    schedule.log(`client ${operation.client} ${where}: write ${write.id} begins`);
    const beganMs = schedule.nowMs;
    const answer = await attempt(host, (node) =>
      write.verb === "delete" ? node.delete(bucket, name, options) : node.put(bucket, name, write.body, options),
    );
    const outcome = answer.kind === "answered" ? "ok" : answer.code;
    const detail = answer.kind === "answered" ? answer.value.receipt.durable.join() : answer.text;
    schedule.log(`client ${operation.client} ${where}: write ${write.id} ${outcome} ${detail}`);
    write.outcomes.push(outcome);
    if (outcome === untyped) oracle.broken("every failure is a typed error", `${where}: ${detail}`);
    if (answer.kind !== "answered") {
      this.counts.failed += 1;
      return;
    }
    this.counts.acknowledged += 1;
    if (host.foundOldMs >= beganMs)
      oracle.broken("no ack is of data that was set aside", `${where}: write ${write.id}`);
    const { receipt } = answer.value;
    write.ack = { atMs: schedule.nowMs, needed: receipt.needed, durable: receipt.durable };
    oracle.acknowledged(write, where, receipt.needed);
    checkAnchored(this.#world, write, where);
    this.#checkAnswer(host, where, { key: write.key, client: operation.client, answer: answer.value });
  }

  #checkAnswer(
    { name }: SimHost,
    where: string,
    { key, client, answer }: { key: string; client: number; answer: WriteAnswer },
  ): void {
    if (answer.context === null) return;
    const vector = coverageOf(answer.context).vector;
    if (answer.siblings !== undefined) {
      // It may have been forwarded: then another host's clock decided.
      this.#world.oracle.answered(key, where, {
        siblings: answer.siblings,
        context: vector,
        wallMs: undefined,
        host: name,
      });
    } else this.#world.oracle.alone(key, where, vector);
    this.#given(client, key).push({ text: answer.context, vector });
  }

  #contextFor(
    { context, client }: Operation,
    key: string,
  ): { readonly text: string; readonly vector: readonly Dot[]; readonly forged?: true } | undefined {
    const given = this.#given(client, key);
    const latest = given.at(-1);
    if (context === "none" || latest === undefined) return undefined;
    if (context === "latest") return latest;
    if (context === "stale") return this.#chance.pick(given);
    return this.#forge(context, latest, key);
  }

  #forge(
    how: "forged" | "other-key" | "cut-short",
    latest: Given,
    key: string,
  ): { readonly text: string; readonly vector: readonly Dot[]; readonly forged?: true } | undefined {
    if (how === "cut-short") {
      const text = latest.text.slice(0, this.#chance.whole(0, latest.text.length - 1));
      return { text, vector: [], forged: true };
    }
    if (how === "other-key") {
      const others = [...this.#contexts].filter(([name, given]) => !name.endsWith(` ${key}`) && given.length > 0);
      if (others.length === 0) return undefined;
      return { text: this.#chance.pick(this.#chance.pick(others)[1]).text, vector: [], forged: true };
    }
    const at = this.#chance.whole(0, latest.text.length - 1);
    const letter = latest.text[at] === "A" ? "Q" : "A";
    return { text: latest.text.slice(0, at) + letter + latest.text.slice(at + 1), vector: [], forged: true };
  }

  #given(client: number, key: string): Given[] {
    const name = `${client} ${key}`;
    let given = this.#contexts.get(name);
    if (given === undefined) this.#contexts.set(name, (given = []));
    return given;
  }
}

export function keyOf(name: string): string {
  return `${bucket}/${name}`;
}

/** Whoever calls gets a `StoreError`, or the store is at fault. */
const untyped = "untyped error";

type Answer<T> =
  | { readonly kind: "answered"; readonly value: T }
  | { readonly kind: "failed"; readonly code: string; readonly text?: string };

async function attempt<T>(host: SimHost, work: (node: EverwriteNode) => Promise<T>): Promise<Answer<T>> {
  try {
    const value = await host.call(work);
    return value === "died" ? { kind: "failed", code: "died" } : { kind: "answered", value };
  } catch (error: unknown) {
    if (error instanceof StoreError) return { kind: "failed", code: error.code, text: error.message };
    return { kind: "failed", code: untyped, text: String(error) };
  }
}

function describe({
  siblings,
  degraded,
}: {
  readonly siblings: readonly { readonly contentType: string }[];
  readonly degraded: boolean;
}): string {
  return `[${siblings.map(({ contentType }) => contentType).join()}]${degraded ? " degraded" : ""}`;
}
