/**
 * All that an edge knows of a key: its copy of what hosts have told, and its own writes on top that they have not
 * acknowledged. Work on one key happens one after the other, as at a host's replica.
 * Invariant: what is shown, minted on or handed out as a context is the merge of both.
 */
import {
  applyWrite,
  compareDots,
  type Coverage,
  covers,
  type Dot,
  highestStamp,
  isUpdate,
  kindOfWrite,
  type LiveValue,
  merge,
  nothing,
  type Versioned,
} from "../causality/version-set.ts";
import type { Key, NodeId } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { StorageOperation } from "../ports.ts";
import { KeyQueue } from "../replica/key-queue.ts";
import { tellLwwLosers } from "../replica/lww-losers.ts";
import { StoreError } from "../errors.ts";
import { checkUpdate } from "../limits.ts";
import { edgeOwnEventsMax } from "../rpc/edge-messages.ts";
import type { RecordStore } from "../storage/record-store.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Answered } from "./answered.ts";
import type { EdgeConfig } from "./config.ts";
import type { HostsTime } from "./contact.ts";
import { type Copies, isEqualCopy, isSameCopy } from "./copies.ts";
import type { Copy } from "./copy-row.ts";
import { coverageOf, type Evidence, type Subject, unite } from "./evidence.ts";
import { mintedAnew } from "./mint-anew.ts";
import { type Ack, type Outbox, type OutboxRow, type OutboxWrite } from "./outbox.ts";
import { grown, renamed } from "./new-dots.ts";
import type { OwnActor } from "./own-actor.ts";
import { OwnStamps } from "./own-stamps.ts";
import { checkSiblings, isOneMore, withPending } from "./pending.ts";
import type { Told } from "./told.ts";
import type { WriteWish } from "./wish.ts";

export interface Known {
  readonly state: Versioned;
  /** Proves what is known. */
  readonly evidence: Evidence;
  /** Of the writes in it some wait for hosts. */
  readonly isPending: boolean;
}

export interface Asked {
  readonly write: OutboxWrite;
  /** Of the event that was accepted: the write may have taken in others since. */
  readonly counter: number;
}

export interface Accepted extends Asked {
  readonly known: Known;
  readonly writeIdIgnored: boolean;
}

interface LocalDeps {
  readonly self: NodeId;
  readonly records: RecordStore;
  readonly copies: Copies;
  readonly outbox: Outbox;
  readonly answered: Answered;
  readonly actor: OwnActor;
  readonly telemetry: Telemetry;
  readonly locate: (key: Key) => LocatedKey;
  /** What is known of the key has changed; whose change it is. */
  readonly changed: (key: Key, by: "local" | "remote") => void;
}

type LocalOptions = Pick<EdgeConfig, "clockEntriesMax" | "siblingsMax" | "valueBytesMax">;

/** The last view of a key with unsent writes: the next write adds one to it. */
interface Viewed {
  readonly copy: Copy;
  readonly writes: readonly OutboxWrite[];
  readonly known: Known;
}

export class Local {
  readonly #deps: LocalDeps;
  readonly #options: LocalOptions;
  readonly #queue = new KeyQueue();
  readonly #viewed = new Map<Key, Viewed>();
  readonly #stamps: OwnStamps;
  #shrinking: Promise<void> | undefined;

  constructor(deps: LocalDeps, options: LocalOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#stamps = new OwnStamps(deps);
  }

  know(located: LocatedKey): Promise<Known> {
    return this.#queue.run(located, () => this.#know(located));
  }

  /** What to name to a host that is asked about the key, with its digest. */
  copy(located: LocatedKey): Promise<Copy> {
    return this.#queue.run(located, () => this.#deps.copies.get(located));
  }

  /** Mints and stores a write; durable when it resolves. @throws StoreError `overloaded`, `too-many-siblings`, `storage-full`; nothing is known of it then, but it may come back after a restart */
  write(located: LocatedKey, wish: WriteWish): Promise<Accepted> {
    return this.#queue.run(located, async () => {
      const { outbox, actor, copies, self, telemetry } = this.#deps;
      const { key } = located;
      const subject: Subject = { edge: self, key };
      const { evidence, value, folds, writeId, request, renews, levels, time } = wish;
      const again = request === undefined ? undefined : await this.#asked(key, request, value.body);
      const known = await this.#know(located);
      if (again !== undefined) {
        const isIgnored = writeId !== undefined && again.write.row.event.writeId === undefined;
        return { ...again, known, writeIdIgnored: isIgnored };
      }
      // A repeat of what is under way; a later one goes out again, as the same event.
      const same = outbox.of(key).find(({ row, isPending }) => isPending && row.event.writeId === writeId);
      if (writeId !== undefined && same !== undefined) return { write: same, counter: 1, known, writeIdIgnored: false };
      const seen = coverageOf(subject, evidence);
      if (isUpdate(value)) {
        const kind = kindOfWrite(known.state, seen, value.kind);
        checkUpdate(this.#options, key, { held: known.state, kind, body: value.body, folds });
      }
      const unseen = known.evidence.own.length;
      if (unseen >= edgeOwnEventsMax) throw new StoreError("overloaded", `hosts lack ${unseen} writes of ${key}`);
      const ownStamp = this.#stamps.highest(key, evidence.own);
      const coverage: Coverage = { ...seen, stamp: Math.max(seen.stamp, ownStamp) };
      const named = writeId === undefined ? {} : { writeId };
      const intended = { key, known: known.state, coverage, value, renews, ...named };
      const minting = actor.mint(intended, time.wallMs, this.#options.clockEntriesMax);
      const { event, value: minted, writeIdIgnored, previous } = minting;
      const row = {
        key,
        event,
        value: { ...minted, body: minted.body.slice() },
        ...evidence,
        ...levels,
        folds,
        previous,
        acceptedMs: time.wallMs,
        clockMs: time.clockMs,
        renews,
        ...(request === undefined ? {} : { request }),
        floor: Math.max(seen.stamp, highestStamp((await copies.get(located)).state)),
        taken: [],
        // Behind another write of a document it waits, and may grow.
        ...(wish.isSentNow && !(isUpdate(value) && outbox.of(key).length > 0) ? { sentMs: time.wallMs } : {}),
      };
      const state = applyWrite(known.state, coverage, row.value, time.wallMs, folds);
      checkSiblings(key, known.state, state, this.#options.siblingsMax);
      try {
        const write = await this.#store(key, row);
        const after = await this.#know(located);
        tellLwwLosers(telemetry, key, [known.state, { vector: coverage.vector, values: [row.value] }], after.state);
        this.#deps.changed(key, "local");
        return { write, counter: event.counter, known: after, writeIdIgnored };
      } catch (error: unknown) {
        // It may be on the disk, and come back: the actor must not go on above an event that memory does not have.
        actor.drop();
        throw error;
      }
    });
  }

  async #store(key: Key, row: OutboxRow): Promise<OutboxWrite> {
    const { outbox, self } = this.#deps;
    const last = outbox.of(key).at(-1);
    const longer = last && grown(self, last, row);
    if (last === undefined || longer === undefined) return outbox.add(row);
    await outbox.become(new Map([[last, longer]]));
    this.#viewed.delete(key);
    return last;
  }

  /** The write that was asked for under the request, unless that is unknown. `body`: that of the write. */
  asked(located: LocatedKey, request: string, body: Uint8Array | undefined): Promise<Asked | undefined> {
    return this.#queue.run(located, () => this.#asked(located.key, request, body));
  }

  /**
   * Hosts lack the update that this one follows: it may be lost, or with hosts that are away. Under an actor of its own it
   * follows nothing. Should it have arrived somewhere under its old name, the document holds it twice, which is once.
   */
  rename(located: LocatedKey, write: OutboxWrite): Promise<void> {
    return this.#queue.run(located, async () => {
      const { actor, outbox, self } = this.#deps;
      this.#viewed.delete(located.key);
      // Those that it has taken in keep their counters.
      const name = actor.draw(write.dot.counter);
      await outbox.become(renamed(self, outbox.of(located.key), write, name));
      this.#deps.changed(located.key, "local");
    });
  }

  /** Hosts cannot open `lost`, of a ring that is no more, which the update has seen: it claims nothing of that, so it goes without. */
  forgetContexts(located: LocatedKey, write: OutboxWrite, lost: readonly string[]): Promise<void> {
    return this.#queue.run(located, async () => {
      this.#viewed.delete(located.key);
      const contexts = write.row.contexts.filter((context) => !lost.includes(context));
      await this.#deps.outbox.become(new Map([[write, { ...write.row, contexts }]]));
      this.#deps.changed(located.key, "local");
    });
  }

  /** Takes in what a host answered to a read. `isQuorum`: what it lacks is gone, however the copy came by it. */
  heard(located: LocatedKey, told: Told, isQuorum: boolean): Promise<Known> {
    return this.#queue.run(located, async () => {
      const { actor, copies } = this.#deps;
      const copy = await copies.get(located);
      await this.#tellConflicts(located, told);
      const after = this.#after(located.key, copy, told, isQuorum);
      if (after !== copy) {
        // As after a power cut the disk then has the copy of before; this one is in memory, and may be forgotten.
        await copies.store(located, after, { more: [], ifFull: () => actor.drop() });
        this.#deps.changed(located.key, "remote");
      }
      return this.#know(located);
    });
  }

  /** Hosts have these writes: the last of them, and those that it stands for. */
  acknowledged(
    located: LocatedKey,
    writes: readonly OutboxWrite[],
    { told, ack }: { readonly told: Told; readonly ack: Ack },
  ): Promise<void> {
    return this.#queue.run(located, async () => {
      const { answered, copies, outbox } = this.#deps;
      const copy = await copies.get(located);
      await this.#tellConflicts(located, told);
      const after = this.#after(located.key, copy, told, false);
      // What a power cut brings back of the outbox is sent again: the same events.
      const more = [...outbox.removing(writes), ...answered.adding(writes, ack)];
      await copies.store(located, after, { more, ifFull: () => this.#makeRoom(located, outbox.removing(writes)) });
      this.#stamps.acknowledged(writes);
      for (const write of writes) write.ack = ack;
      outbox.removed(writes);
      if (outbox.of(located.key).length === 0) this.#viewed.delete(located.key);
      this.#deps.changed(located.key, "local");
    });
  }

  /**
   * A full disk still takes deletes, and what hosts have is what can make room. So the copy on the disk goes, too,
   * which would be of before the writes: what memory forgets of it hosts tell anew. Not noted is that the writes were
   * answered: see `answered.ts`.
   */
  async #makeRoom(located: LocatedKey, removal: readonly StorageOperation[]): Promise<void> {
    const { actor, copies, records } = this.#deps;
    actor.drop();
    await records.commit([...removal, ...copies.removing(located)], { durability: "buffered" });
  }

  /** A write that was accepted before, in a storage that is gone, as the event `dot`. False: it is known here. @throws StoreError as `write` */
  takeOver(located: LocatedKey, row: OutboxRow, dot: Dot): Promise<boolean> {
    return this.#queue.run(located, async () => {
      const { outbox } = this.#deps;
      const { state } = await this.#know(located);
      const isHere = outbox.of(located.key).some((write) => compareDots(write.row.value.dot, dot) === 0);
      if (isHere || covers(state.vector, dot)) return false;
      (await outbox.add(row)).mayBeOut = true;
      this.#deps.changed(located.key, "local");
      return true;
    });
  }

  /** Parked writes that the application has no use for any more. */
  discard(located: LocatedKey, writes: readonly OutboxWrite[]): Promise<void> {
    return this.#queue.run(located, async () => {
      const { outbox, records } = this.#deps;
      await records.commit(outbox.removing(writes));
      outbox.removed(writes);
    });
  }

  /**
   * They are about to be sent for the first time: minted anew by the hosts' time. See `outbox.markSent`. So are those before
   * the last of them that wait on, as it is to be later than they are.
   */
  markSent(located: LocatedKey, writes: readonly OutboxWrite[], time: HostsTime): Promise<void> {
    return this.#queue.run(located, async () => {
      const { copies, outbox, telemetry } = this.#deps;
      const { key } = located;
      const before = await this.#know(located);
      this.#viewed.delete(key);
      const known = { copy: (await copies.get(located)).state, own: outbox.of(key), stamps: this.#stamps };
      const last = writes.at(-1)!.sequence;
      const unsent = known.own.filter(
        (each) => each.sequence <= last && each.isPending && each.row.sentMs === undefined,
      );
      await outbox.markSent(unsent, (write) => {
        const row = mintedAnew(write, known, time);
        return writes.includes(write) ? { ...row, sentMs: time.wallMs } : row;
      });
      const after = await this.#know(located);
      // One that was to win by a wrong clock may not: then it is discarded.
      tellLwwLosers(telemetry, key, [before.state, nothing], after.state);
      this.#deps.changed(key, "local");
    });
  }

  /** Hosts refused them for good, or nobody knows what became of them: they are sent no more. */
  park(located: LocatedKey, writes: readonly OutboxWrite[], error: OutboxRow["error"] & {}): Promise<void> {
    return this.#queue.run(located, async () => {
      // What is known of the key is now without these events, which hosts may have all the same.
      this.#deps.actor.drop();
      this.#viewed.delete(located.key);
      await this.#deps.outbox.mark(writes, ({ row }) => ({ ...row, error }));
      this.#deps.changed(located.key, "local");
    });
  }

  /**
   * lww values of this node, or of hosts, that the other side's has replaced unseen. That hosts cover an own write which is
   * not acknowledged yet says only that they have met it: what is live there instead has not seen it.
   */
  async #tellConflicts(located: LocatedKey, { state }: Told): Promise<void> {
    if (!state.values.some(({ kind }) => kind === "lww")) return;
    const known = await this.#know(located);
    const own = new Set(
      this.#deps.outbox.of(located.key).flatMap((write) => (write.isPending ? [write.dot.actor] : [])),
    );
    const seen = own.size === 0 ? state.vector : state.vector.filter(({ actor }) => !own.has(actor));
    const told = { vector: seen, values: state.values };
    tellLwwLosers(this.#deps.telemetry, located.key, [known.state, told], merge(known.state, state));
  }

  #after(key: Key, copy: Copy, { asked, state, contexts }: Told, isQuorum: boolean): Copy {
    const { copies } = this.#deps;
    const told = { state, contexts };
    if (!isQuorum) return copies.merged(key, copy, told);
    if (isEqualCopy(copy, asked)) return isSameCopy(copy, told) ? copy : copies.replaced(copy, told);
    // Another answer came in between, and neither is later for certain. But what was here when a quorum was asked, and it lacks, is gone.
    const isLeft = ({ dot }: LiveValue): boolean => covers(state.vector, dot) || !covers(asked.state.vector, dot);
    const values = copy.state.values.filter(isLeft);
    return copies.merged(key, { ...copy, state: { ...copy.state, values } }, told);
  }

  /** Lets copies go until the rest fits. */
  shrink(): Promise<void> {
    this.#shrinking ??= this.#shrink().finally(() => {
      this.#shrinking = undefined;
    });
    return this.#shrinking;
  }

  async #shrink(): Promise<void> {
    const { copies, locate } = this.#deps;
    for (const key of copies.toEvict()) {
      const located = locate(key);
      await this.#queue.run(located, () => copies.evict(located));
    }
  }

  async #asked(key: Key, request: string, body: Uint8Array | undefined): Promise<Asked | undefined> {
    const { answered, outbox } = this.#deps;
    for (const write of outbox.of(key)) {
      const counter = write.counterOf(request);
      if (counter !== undefined) return { write, counter };
    }
    const write = await answered.find(key, request, body);
    return write && { write, counter: write.dot.counter };
  }

  async #know(located: LocatedKey): Promise<Known> {
    const { copies, outbox, self } = this.#deps;
    const { key } = located;
    const copy = await copies.get(located);
    const writes = outbox.of(key);
    const viewed = this.#viewed.get(key);
    if (viewed !== undefined && viewed.copy === copy && viewed.writes === writes) return viewed.known;
    if (!writes.some(({ isPending }) => isPending)) {
      return { state: copy.state, evidence: { contexts: copy.contexts, own: [] }, isPending: false };
    }
    const isNext = viewed !== undefined && viewed.copy === copy && isOneMore(viewed.writes, writes);
    const before = isNext ? viewed.known : { state: copy.state, evidence: { contexts: copy.contexts, own: [] } };
    const added = (isNext ? writes.slice(-1) : writes).filter(({ isPending }) => isPending);
    const proofs = added.flatMap(({ row }) => [{ contexts: row.contexts, own: [...row.own, row.event] }]);
    const evidence = unite({ edge: self, key }, [before.evidence, ...proofs]);
    const known = { state: withPending(before.state, added), evidence, isPending: true };
    this.#viewed.set(key, { copy, writes, known });
    return known;
  }
}
