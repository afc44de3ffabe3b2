/**
 * Sends what is in the outbox to hosts, until W of them have it (PROTOCOL 7). Of one key one write at a time, oldest first,
 * but a write goes together with later ones that have seen it; different keys do not wait for each other.
 *
 * A write may be sent again and again, anywhere: it is the same event. Only its age matters, for what was deleted since may
 * have been forgotten by all hosts, and would come back: one that was sent is repeated for half the hosts' grace period;
 * after that hosts take it only where they still cover its dot, and else it is parked as `outcome-unknown`.
 *
 * What was never sent is minted anew by the hosts' time right before it is (PROTOCOL 3). Where hosts refuse its stamp all the
 * same (`clock-skew`), the time is measured anew, some times; then it is parked.
 * Invariants: no refusal of one write holds another one up; a write that is refused for good is parked, never dropped.
 */
import type { Given, Infer } from "../bytes/codec.ts";
import { isUpdate } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import { type Random, type Stop, TransportError } from "../ports.ts";
import { edgeMethods } from "../rpc/edge-methods.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { EdgeConfig } from "./config.ts";
import type { Contact } from "./contact.ts";
import type { Local } from "./local.ts";
import type { Ack, Outbox, OutboxRow, OutboxWrite } from "./outbox.ts";
import { nextOf } from "./pending.ts";
import { isOfOneHost, isPassing, isUnknown } from "./refusals.ts";
import { type Told, toldWhole } from "./told.ts";
import { untilMet } from "./waiting.ts";

export interface DeliveryDeps {
  readonly contact: Contact;
  readonly local: Local;
  readonly outbox: Outbox;
  readonly random: Random;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
  /** `delayed` may have changed. */
  readonly changed: () => void;
}

const idleMs = 1_000;
/** So often a host may say that a write is none. */
const misreadMax = 10;
/** So often hosts may refuse a stamp: hosts may differ for a moment while their clocks are set. */
const skewedMax = 3;
/** A host gives up first, so that it says which quorum was missed. */
const answerMarginMs = 250;

type Levels = Given<Pick<OutboxRow, "w" | "pw">>;
/** The write that is sent, last, after those that it stands for: hosts that take it cover their dots, so all count as sent. */
type Carried = readonly OutboxWrite[];
type Request = Given<Infer<typeof edgeMethods.edgeWrite.request>>;
type Response = Infer<typeof edgeMethods.edgeWrite.response>;

export class Delivery {
  readonly #deps: DeliveryDeps;
  readonly #config: EdgeConfig;
  /** Keys of which a write is under way, or waits for its next try. */
  readonly #busy = new Set<Key>();
  readonly #waiting = new Map<Key, Stop>();
  /** Keys of which the last try failed: how often in a row, and how many of its writes wait for the next. */
  readonly #failed = new Map<Key, { readonly failures: number; readonly waiting: number }>();
  #delayed = 0;
  #underWay = 0;

  constructor(deps: DeliveryDeps, config: EdgeConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  start(): void {
    const { contact, tasks } = this.#deps;
    const stop = contact.onChange(() => {
      if (!contact.isConnected) return;
      this.#failed.clear();
      this.#delayed = 0;
      for (const key of this.#waiting.keys()) this.#tryAgain(key);
      this.sendAll();
    });
    tasks.onStop(stop);
    this.sendAll();
  }

  /** Writes of keys of which the last try failed. */
  get delayed(): number {
    return Math.min(this.#delayed, this.#deps.outbox.counts.pending);
  }

  /** As many at once as may be; the next ones follow. */
  sendAll(): void {
    for (const key of this.#deps.outbox.keys()) {
      if (this.#underWay >= this.#config.deliveriesMax) return;
      this.send(key);
    }
  }

  send(key: Key): void {
    const { contact, outbox, tasks } = this.#deps;
    const failures = this.#failed.get(key)?.failures;
    if (failures !== undefined) this.#setFailures(key, failures);
    const isDue = !this.#busy.has(key) && contact.isConnected && nextOf(outbox.of(key)) !== undefined;
    if (!isDue || this.#underWay >= this.#config.deliveriesMax) return;
    this.#busy.add(key);
    this.#underWay += 1;
    tasks.run("deliver writes", async () => {
      let isOver = false;
      try {
        isOver = await this.#deliverAll(contact.locate(key));
      } finally {
        this.#underWay -= 1;
        if (isOver) this.#end(key);
        else this.#retryLater(key);
      }
      this.sendAll();
    });
  }

  /** Resolves when no write of the key is on its way, or has been for a second. */
  async idle(key: Key): Promise<void> {
    const { outbox, tasks } = this.#deps;
    const isMet = (): boolean => !outbox.of(key).some(({ sends }) => sends > 0);
    if (!isMet()) await untilMet(tasks, { isMet, listen: (heard) => outbox.onChange(heard) }, { timeoutMs: idleMs });
  }

  /** Asks for more copies than the write's own levels did. @throws StoreError, TransportError; it is the same event */
  async repeat(write: OutboxWrite, levels: Levels, timeoutMs: number): Promise<Ack> {
    const { contact } = this.#deps;
    const located = contact.locate(write.key);
    const { told, ack } = await this.#request(located, [write], levels, timeoutMs);
    await this.#deps.local.heard(located, told, false);
    return ack;
  }

  /** What counted as sent and is not on its way counts as never sent: no host can have it. Where that cannot be stored it counts as sent. */
  async unmark(write: OutboxWrite): Promise<void> {
    if (!write.isPending || write.mayBeOut || write.sends > 0) return;
    try {
      await this.#deps.outbox.unmark(write);
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      this.#deps.telemetry.event({ kind: "task-failed", task: "unmark a write", reason: reasonOf(error) });
    }
  }

  /** False: the rest has to wait. */
  async #deliverAll(located: LocatedKey): Promise<boolean> {
    const { outbox, contact, tasks } = this.#deps;
    for (;;) {
      const next = nextOf(outbox.of(located.key));
      if (next === undefined) return true;
      if (tasks.stopped || !contact.isConnected || !(await this.#deliver(located, ...next))) return false;
      this.#setFailures(located.key, 0);
    }
  }

  /** False: it is to be tried again, later. */
  async #deliver(located: LocatedKey, write: OutboxWrite, stoodFor: readonly OutboxWrite[]): Promise<boolean> {
    const { contact, local, telemetry } = this.#deps;
    const { contexts } = write.row;
    try {
      const carried: Carried = [...stoodFor, write];
      const answer = await this.#request(located, carried, write.row, this.#config.requestTimeoutMs);
      await local.acknowledged(located, carried, answer);
      return true;
    } catch (error: unknown) {
      if (!(error instanceof StoreError || error instanceof TransportError)) throw error;
      if (error instanceof StoreError && error.code === "bad-request") write.misread += 1;
      const isSkewed = error instanceof StoreError && error.code === "clock-skew";
      if (isSkewed) write.skewed += 1;
      if (isSkewed || (isUnknown(error) && !contact.time.isKnown)) await contact.measureTime({ anew: true });
      if (error instanceof TransportError || this.#passes(error, write)) {
        telemetry.event({ kind: "task-failed", task: "deliver a write", reason: `${located.key}: ${reasonOf(error)}` });
        return false;
      }
      if (error.code === "precondition-failed" && isUpdate(write.row.value)) {
        await local.rename(located, write);
        return true;
      }
      const lost = (error.detail.contexts ?? []).flatMap((place) => contexts[place] ?? []);
      if (error.code === "bad-context" && isUpdate(write.row.value) && lost.length > 0) {
        await local.forgetContexts(located, write, lost);
        return true;
      }
      // Those that it stood for were not refused: they are sent for themselves.
      await local.park(located, [write], { code: error.code, message: error.message.slice(0, 1_000) });
      return true;
    }
  }

  /**
   * A host that starts anew cannot tell either what became of a write; but that one may be repeated. And what this node
   * took for a sound write may have been damaged on its way, or met a host of another version.
   */
  #passes(error: StoreError, write: OutboxWrite): boolean {
    if (error.code === "bad-request") return write.misread < misreadMax;
    // One that may be out keeps its stamp: a host whose clock is right has it, or takes it.
    if (error.code === "clock-skew") return write.mayBeOut || write.skewed < skewedMax;
    return isPassing(error) || (isUnknown(error) && !this.#isTooOld(write) && !this.#mayBeCut(write));
  }

  async #request(
    located: LocatedKey,
    carried: Carried,
    { w, pw }: Levels,
    timeoutMs: number,
  ): Promise<{ readonly told: Told; readonly ack: Ack }> {
    for (const each of carried) each.sends += 1;
    try {
      return await this.#send(located, carried, { w, pw, timeoutMs });
    } finally {
      for (const each of carried) each.sends -= 1;
    }
  }

  async #send(
    located: LocatedKey,
    carried: Carried,
    { w, pw, timeoutMs }: Levels & { readonly timeoutMs: number },
  ): Promise<{ readonly told: Told; readonly ack: Ack }> {
    const { contact, local } = this.#deps;
    const write = carried.at(-1)!;
    const asked = await local.copy(located);
    await this.#markSent(located, carried);
    const { ring } = contact;
    const { key, event, value, contexts, own, folds, previous } = write.row;
    const request = {
      key,
      event,
      value,
      contexts,
      own,
      folds,
      previous,
      w,
      timeoutMs,
      pw,
      ring: ring?.fingerprint,
      onlyCovered: this.#isTooOld(write) || undefined,
      again: this.#mayBeCut(write) || undefined,
    };
    // Whichever is asked, it is the same event.
    const ask = (have: Uint8Array | undefined) => this.#ask(located, carried, { ...request, have });
    const { answer, told } = await toldWhole(ask, located.key, asked, [value]);
    // A place that is none is a host's mistake, and counts nobody.
    const named = answer.durableAt.flatMap((place) => ring?.hosts[place]?.id ?? []);
    const durable = [...(answer.durable as readonly NodeId[]), ...named];
    const hinted = answer.hinted as Ack["hinted"];
    return { told, ack: { durable, hinted, needed: answer.needed, got: answer.got } };
  }

  /** Before the first host can have it. How old it is hangs on the time, too, where an earlier run has sent it. */
  async #markSent(located: LocatedKey, carried: Carried): Promise<void> {
    const { contact, local } = this.#deps;
    const due = carried.filter(({ row, isPending }) => row.sentMs === undefined && isPending);
    if ((due.length > 0 || carried.at(-1)!.mayBeOut) && !(await contact.measureTime()))
      throw new StoreError("not-ready", "no host has told the time");
    if (due.length > 0) await local.markSent(located, due, contact.time);
  }

  #isTooOld({ row, mayBeOut }: OutboxWrite): boolean {
    const { contact } = this.#deps;
    const ageMs = contact.wallMs - (row.sentMs ?? contact.wallMs);
    // A clock that was set back tells nothing of the age.
    return mayBeOut && (ageMs > contact.periods.graceMs / 2 || ageMs < -this.#config.clockDriftMaxMs);
  }

  /** Sent so long ago that hosts may have cut its entry from a long clock: they look. */
  #mayBeCut({ row, mayBeOut }: OutboxWrite): boolean {
    const { contact } = this.#deps;
    return mayBeOut && contact.wallMs - (row.sentMs ?? contact.wallMs) > contact.periods.inFlightMs;
  }

  /** One host after another. What none of them has seen counts as never sent. */
  async #ask(located: LocatedKey, carried: Carried, request: Request): Promise<Response> {
    const { contact, outbox } = this.#deps;
    const areOut = (): void => {
      for (const each of carried) each.mayBeOut = true;
    };
    let last: unknown;
    for (const host of contact.hostsFor(located)) {
      try {
        const answer = await contact.askOne(host, edgeMethods.edgeWrite, request, request.timeoutMs! + answerMarginMs);
        areOut();
        return answer;
      } catch (error: unknown) {
        last = error;
        if (error instanceof TransportError && error.kind === "not-sent") continue;
        if (error instanceof StoreError && error.code === "clock-skew") continue;
        areOut();
        if (error instanceof StoreError && !isOfOneHost(error)) throw error;
      }
    }
    for (const each of carried) if (!each.mayBeOut && each.isPending) await outbox.unmark(each);
    throw last ?? new StoreError("not-ready", "no host is connected");
  }

  #end(key: Key): void {
    this.#busy.delete(key);
    this.#setFailures(key, 0);
  }

  #setFailures(key: Key, failures: number): void {
    this.#delayed -= this.#failed.get(key)?.waiting ?? 0;
    this.#failed.delete(key);
    if (failures === 0) return;
    const waiting = this.#deps.outbox.of(key).filter(({ isPending }) => isPending).length;
    this.#failed.set(key, { failures, waiting });
    this.#delayed += waiting;
  }

  /** Backs off, with jitter: hosts that were away are not met by all edges at once. */
  #retryLater(key: Key): void {
    const { retryFirstMs, retryMaxMs } = this.#config;
    const failures = this.#failed.get(key)?.failures ?? 0;
    this.#setFailures(key, failures + 1);
    this.#deps.changed();
    const pauseMs = Math.min(retryMaxMs, retryFirstMs * 2 ** failures) * (0.5 + this.#deps.random.next() / 2);
    this.#waiting.set(
      key,
      this.#deps.tasks.after(pauseMs, () => this.#tryAgain(key)),
    );
  }

  #tryAgain(key: Key): void {
    this.#waiting.get(key)?.();
    this.#waiting.delete(key);
    this.#busy.delete(key);
    this.send(key);
  }
}
