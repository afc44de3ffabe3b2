/**
 * The node at the service of all tabs, as long as one term lasts. Every tab has a session, this one too: its application is
 * served like those of the others, and what it waits for outlives the term in the same way.
 */
import type { WriteAnswer } from "../../api.ts";
import { StoreError } from "../../errors.ts";
import type { CancelSignal, Stop } from "../../ports.ts";
import { Cancellation } from "../../store/cancel.ts";
import type { Channel, SharedNode, StoreWrite } from "../../store-node.ts";
import type { TabChannel } from "./channel.ts";
import type { TabLocks } from "./locks.ts";
import { ImportIntake } from "./import-intake.ts";
import {
  type Ask,
  type Call,
  everyone,
  type ImportPiece,
  type News,
  sentError,
  type TabId,
  type Tell,
} from "./messages.ts";

export interface OwnerDeps {
  readonly channel: TabChannel;
  readonly locks: TabLocks;
  readonly node: SharedNode;
  /** Resolves when the storage has answered, under this term still. */
  readonly touch: () => Promise<void>;
}

interface Session {
  /** Ends what the tab waits for. */
  readonly end: Cancellation;
  readonly running: Map<number, Running>;
  readonly imports: Map<string, ImportIntake>;
}

/** A call, a watch, an export or a channel of a tab. */
interface Running {
  readonly end: Cancellation;
  readonly credit: Credit;
  channel?: Channel | undefined;
}

export class Owner {
  readonly #deps: OwnerDeps;
  readonly #term: number;
  readonly #sessions = new Map<TabId, Session>();
  readonly #end = new Cancellation();
  readonly #stops: readonly Stop[];
  #areFactsDue = false;

  constructor(deps: OwnerDeps, term: number) {
    this.#deps = deps;
    this.#term = term;
    const { node } = deps;
    this.#stops = [
      node.onFacts(() => void this.#tellFacts()),
      node.onConflict((conflict) => this.#tell(everyone, { kind: "conflict", conflict })),
    ];
  }

  hear(from: TabId, ask: Ask): void {
    if (this.#end.aborted) return;
    const { running } = this.#session(from);
    switch (ask.kind) {
      case "call":
        return this.#call(from, ask.id, ask.call);
      case "watch":
        return this.#watch(from, ask);
      case "export":
        return this.#export(from, ask);
      case "more":
        return running.get(ask.id)?.credit.add(ask.credit);
      case "join":
        return this.#join(from, ask);
      case "say":
        // Another tab of this code has measured it.
        return running.get(ask.id)?.channel?.send(ask.body);
      case "cancel":
        return running.get(ask.id)?.end.abort();
      case "probe":
        // A storage that does not answer, or is another's, says nothing: that is what the tab waits for.
        this.#deps.touch().then(
          () => this.#tell(from, { kind: "alive" }),
          () => undefined,
        );
    }
  }

  /** This tab runs the node: told to all, or to one that asks, of which it is noticed then when it is gone. */
  announce(to: TabId | typeof everyone): void {
    const { channel, node } = this.#deps;
    if (to !== everyone) this.#session(to);
    const news: News = { kind: "open", id: node.id, facts: node.facts() };
    channel.post(to, this.#term, news);
  }

  /** From now on it says nothing more, whatever comes of what is under way. */
  stop(): void {
    this.#end.abort();
    for (const stop of this.#stops) stop();
    for (const { end } of this.#sessions.values()) end.abort();
    this.#sessions.clear();
  }

  #session(tab: TabId): Session {
    const known = this.#sessions.get(tab);
    if (known !== undefined) return known;
    const session: Session = { end: new Cancellation(this.#end), running: new Map(), imports: new Map() };
    this.#sessions.set(tab, session);
    const { channel, locks } = this.#deps;
    if (tab !== channel.self) {
      const forget = (): void => {
        session.end.abort();
        this.#sessions.delete(tab);
        channel.forget(tab);
      };
      // Locks that fail say nothing of the tab: its session lasts as long as the term.
      locks.gone(tab, session.end).then(forget, () => undefined);
    }
    return session;
  }

  #begin(tab: TabId, id: number, credit = 0): Running {
    const session = this.#session(tab);
    const running = { end: new Cancellation(session.end), credit: new Credit(credit) };
    session.running.set(id, running);
    return running;
  }

  #finish(tab: TabId, id: number, { end }: Running): void {
    end.release();
    this.#sessions.get(tab)?.running.delete(id);
  }

  #call(tab: TabId, id: number, call: Call): void {
    const running = this.#begin(tab, id);
    const performed = call.method === "import" ? this.#import(tab, call) : perform(this.#deps.node, call, running.end);
    performed
      .then(
        (value) => this.#tell(tab, { kind: "result", id, value }),
        (error: unknown) => this.#fail(tab, id, error),
      )
      .finally(() => this.#finish(tab, id, running));
  }

  async #import(tab: TabId, { id, isFirst, isLast, chunks }: ImportPiece): Promise<unknown> {
    const { imports, end } = this.#session(tab);
    if (isFirst) imports.set(id, new ImportIntake(this.#deps.node, end));
    const intake = imports.get(id);
    if (intake === undefined) throw new StoreError("not-ready", "the tab that took the import is gone: import again");
    let isOver = isLast;
    try {
      return await intake.give(chunks, isLast);
    } catch (error: unknown) {
      isOver = true;
      throw error;
    } finally {
      if (isOver) imports.delete(id);
    }
  }

  #watch(tab: TabId, ask: Ask & { readonly kind: "watch" }): void {
    const { id } = ask;
    const running = this.#begin(tab, id, ask.credit);
    this.#stream(tab, id, running, this.#pump(tab, ask, running));
  }

  #export(tab: TabId, { id, credit }: Ask & { readonly kind: "export" }): void {
    const running = this.#begin(tab, id, credit);
    this.#stream(tab, id, running, this.#tellExport(tab, id, running));
  }

  #stream(tab: TabId, id: number, running: Running, pumped: Promise<void>): void {
    pumped
      .then(
        () => this.#tell(tab, { kind: "ended", id }),
        (error: unknown) => this.#fail(tab, id, error),
      )
      .finally(() => this.#finish(tab, id, running));
  }

  /** Once: a tab that takes part twice would hear everything twice. */
  #join(tab: TabId, { id, bucket, name }: Ask & { readonly kind: "join" }): void {
    if (this.#session(tab).running.has(id)) return;
    const running = this.#begin(tab, id);
    running.channel = this.#deps.node.join?.(bucket, name, (body) => this.#tell(tab, { kind: "heard", id, body }));
    running.end.addEventListener("abort", () => {
      running.channel?.leave();
      this.#finish(tab, id, running);
    });
  }

  async #pump(
    tab: TabId,
    { id, bucket, what }: Ask & { readonly kind: "watch" },
    { end, credit }: Running,
  ): Promise<void> {
    for await (const change of this.#deps.node.watch(bucket, what, end)) {
      await credit.take(end);
      this.#tell(tab, { kind: "change", id, change });
    }
  }

  async #tellExport(tab: TabId, id: number, { end, credit }: Running): Promise<void> {
    for await (const bytes of this.#deps.node.export()) {
      await credit.take(end);
      if (end.aborted) return;
      this.#tell(tab, { kind: "piece", id, bytes });
    }
  }

  /** Those of one burst of writes at once. */
  async #tellFacts(): Promise<void> {
    if (this.#areFactsDue) return;
    this.#areFactsDue = true;
    await Promise.resolve();
    this.#areFactsDue = false;
    this.#tell(everyone, { kind: "facts", facts: this.#deps.node.facts() });
  }

  #fail(tab: TabId, id: number, cause: unknown): void {
    const error = cause instanceof StoreError ? cause : new StoreError("internal", String(cause));
    this.#tell(tab, { kind: "failure", id, error: sentError(error) });
  }

  /**
   * Nothing to a tab that is gone: its channel would be opened for that, and never be closed. And where there is no other
   * (each that follows this one has a session) nothing leaves this tab: that costs a page more than all else in a message.
   */
  #tell(tab: TabId | typeof everyone, tell: Tell): void {
    if (this.#end.aborted || (tab !== everyone && !this.#sessions.has(tab))) return;
    const { channel } = this.#deps;
    const isAlone = tab === everyone && [...this.#sessions.keys()].every((other) => other === channel.self);
    channel.post(isAlone ? channel.self : tab, this.#term, tell);
  }
}

/** What is left of the answer crosses to another tab: no functions, and errors as they are sent. */
async function perform(node: SharedNode, call: Exclude<Call, ImportPiece>, signal: CancelSignal): Promise<unknown> {
  switch (call.method) {
    case "get":
      return node.get(call.bucket, call.name, { ...call.options, signal });
    case "put":
      return answerOf(await node.put(call.bucket, call.name, call.body, { ...call.options, signal }));
    case "delete":
      return answerOf(await node.delete(call.bucket, call.name, { ...call.options, signal }));
    case "list":
      return node.list(call.bucket, { ...call.options, signal });
    case "until":
      return node.until(call.write, call.level, waitOf(call, signal));
    case "flush":
      return node.flush(waitOf(call, signal));
    case "inspect":
      return node.inspect?.(call.bucket, call.name);
    case "parked":
      return (await node.parked()).map(({ error, ...write }) => ({ ...write, error: sentError(error) }));
    case "discard":
      return node.discard(call.write);
    default:
      throw new StoreError("bad-request", "tabs do not ask a node for this");
  }
}

function answerOf({ dot, context, receipt, siblings }: StoreWrite): WriteAnswer {
  return { dot, context, receipt, ...(siblings && { siblings }) };
}

function waitOf({ timeoutMs }: { readonly timeoutMs?: number }, signal: CancelSignal) {
  return { signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
}

/** How many changes or pieces a tab is ready to take. */
class Credit {
  #left: number;
  #wake: () => void = () => {};

  constructor(left: number) {
    this.#left = left;
  }

  add(more: number): void {
    this.#left += more;
    this.#wake();
  }

  /** Waits for one, or for the end. */
  async take(end: CancelSignal): Promise<void> {
    while (this.#left <= 0 && !end.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        end.addEventListener("abort", resolve, { once: true });
      });
      end.removeEventListener("abort", this.#wake);
    }
    this.#left -= 1;
  }
}
