/**
 * Knows every event that was ever stored and judges what nodes store, answer and promise. See `history.ts` for the idea.
 *
 * At each batch: the state is exactly what its history says (I1, I2, I5 locally); a dot names one value for ever (I6);
 * only written values, intact (I3). At each answer: values and context belong together, so a context covers what was
 * returned and no more; an ack is W durable copies (I7); what R owners must know is in the answer; a 4xx changed nothing.
 * At each loss of a disk: what else is lost is a fault of the store. What must hold at the end: `owners.ts`, `rest.ts`.
 */
import type { Sibling } from "../../core/api.ts";
import { covers, type Dot, type LiveValue, type Versioned } from "../../core/causality/version-set.ts";
import type { QuorumSpec } from "../../core/config.ts";
import type { Key, NodeId } from "../../core/identity.ts";
import { equalBytes } from "../../core/bytes/compare.ts";
import { locate, type LocatedKey } from "../../core/placement/locate.ts";
import { resolveQuorum } from "../../core/quorum/resolve.ts";
import type { StorageOperation } from "../../core/ports.ts";
import { isNewsTo, mayHaveWhatIsGone } from "./departures.ts";
import type { DiskImage } from "./disk-image.ts";
import type { SimDisk } from "./disk.ts";
import type { SimHost } from "./host.ts";
import { KeyHistory, nameOf } from "./history.ts";
import { isApplications, membershipOn, objectOn, statesIn, statesOn } from "./rows.ts";
import { copiesPromised, idOfContentType, type Write } from "./write.ts";

export interface Violation {
  readonly rule: string;
  readonly text: string;
}

export interface OracleOptions {
  readonly partitions: number;
  readonly durability: "synced" | "buffered";
  readonly clockEntriesMax: number;
}

export class Oracle {
  readonly writes: Write[] = [];
  readonly #histories = new Map<string, KeyHistory>();
  readonly #located = new Map<string, LocatedKey>();
  readonly #options: OracleOptions;
  readonly #hosts: () => Iterable<SimHost>;
  /** When a host last lost something that it had stored, by host. */
  readonly #lossesMs = new Map<NodeId, number>();
  #first: Violation | undefined;
  checks = 0;

  constructor(options: OracleOptions, hosts: () => Iterable<SimHost>) {
    this.#options = options;
    this.#hosts = hosts;
  }

  get violation(): Violation | undefined {
    return this.#first;
  }

  locate(key: string): LocatedKey {
    let located = this.#located.get(key);
    if (located === undefined) this.#located.set(key, (located = locate(key as Key, this.#options.partitions)));
    return located;
  }

  history(key: string): KeyHistory {
    let history = this.#histories.get(key);
    if (history === undefined) this.#histories.set(key, (history = new KeyHistory()));
    return history;
  }

  get keys(): Iterable<string> {
    return this.#histories.keys();
  }

  broken(rule: string, text: string): void {
    this.#first ??= { rule, text };
  }

  // -- What nodes store ---------------------------------------------------------------------------------------------

  stored(host: string, operations: readonly StorageOperation[], revived: boolean): void {
    try {
      this.#checkStored(host, operations, revived);
    } catch (error: unknown) {
      this.broken("what is stored can be read", `${host}: ${String(error)}`);
    }
  }

  #checkStored(host: string, operations: readonly StorageOperation[], revived: boolean): void {
    for (const { key, state, hintFor } of statesIn(operations)) {
      if (isApplications(key)) continue;
      const where = hintFor === undefined ? `${host} stores ${key}` : `${host} stores a hint of ${key} for ${hintFor}`;
      for (const value of state.values) {
        this.#checkValue(key, { value, host, where, clockEntries: state.vector.length, revived });
      }
      this.#checkExact(key, state, { host, where });
    }
  }

  #checkValue(
    key: string,
    {
      value,
      host,
      where,
      clockEntries,
      revived,
    }: {
      readonly value: LiveValue;
      readonly host: string;
      readonly where: string;
      readonly clockEntries: number;
      readonly revived: boolean;
    },
  ): void {
    this.checks += 1;
    const name = nameOf(value.dot);
    const history = this.history(key);
    const known = history.events.get(name);
    const id = idOfContentType(value.contentType);
    const write = id === undefined ? undefined : this.writes[id];
    if (write === undefined || write.key !== key || value.tombstone !== (write.verb === "delete")) {
      return this.broken("only written values", `${where}: ${name} is ${value.contentType}, which nobody wrote there`);
    }
    if (!equalBytes(value.body, write.body)) {
      return this.broken("values are intact", `${where}: the body of write ${write.id} (${name}) changed`);
    }
    if (known !== undefined && known.write !== write) {
      const text = `${where}: ${name} names write ${write.id}, and named write ${known.write.id} before`;
      return this.broken("a dot names one value for ever", text);
    }
    if ((write.ttlMs === undefined) !== (value.expiresAtMs === undefined)) {
      return this.broken("a value expires when it was asked to", `${where}: write ${write.id}`);
    }
    // Where one that was removed while it was cut off, or joined through that one, or got an old copy of its disk, has it
    // still, it came back to nobody.
    const isKnownGone = known?.gone === true && !value.tombstone && !history.truncated;
    if (isKnownGone && !mayHaveWhatIsGone(this.#hosts(), host)) {
      const text = `${where}: write ${write.id} (${name}) was replaced, and that it was has been forgotten`;
      return this.broken("nothing that was seen and dropped comes back", text);
    }
    if (known !== undefined) {
      known.expiryVaries ||= value.expiresAtMs !== known.value.expiresAtMs;
      if (value.stamp > known.value.stamp) known.value = value;
      return;
    }
    if (write.forged) return this.broken("a forged context is refused", `${where}: write ${write.id} was minted`);
    if (value.kind === "lww") this.#checkStamp(key, write, value);
    history.add(write, value);
    write.events.add(name);
    // A write whose disk rejected it is tried elsewhere; should the disk have kept it after all, it shows as a sibling.
    write.revived ||= revived;
    // A write id is ignored by lww values and by full clocks.
    history.entriesMax = Math.max(history.entriesMax, clockEntries);
    history.hasLww ||= value.kind === "lww";
    const isIgnored = history.hasLww || history.entriesMax >= this.#options.clockEntriesMax;
    const mayRepeat = write.writeId !== undefined && isIgnored;
    // An edge gives an update another name where hosts lack the one before it: the document holds it once all the same.
    if (write.events.size > 1 && !mayRepeat && !write.revived && value.kind !== "yjs") {
      const text = `${where}: write ${write.id} became ${[...write.events].join(" and ")}`;
      this.broken("one write is one event", text);
    }
  }

  /** Else the value that its writer had seen would win over it. */
  #checkStamp(key: string, write: Write, { stamp }: LiveValue): void {
    for (const { dot, value, name } of this.history(key).events.values()) {
      if (value.kind !== "lww" || stamp > value.stamp || !covers(write.context, dot)) continue;
      this.broken("an lww write is later than what it has seen", `write ${write.id} after ${this.tell(key, name)}`);
    }
  }

  /** The live values of a state are those that its vector and all history say. */
  #checkExact(key: string, { vector, values }: Versioned, { host, where }: { host: string; where: string }): void {
    this.checks += 1;
    const history = this.history(key);
    if (history.truncated) return;
    const expected = history.liveOf(vector);
    const found = values.map((value) => nameOf(value.dot));
    const extra = found.filter((name) => !expected.has(name) && !history.isFolded(name));
    const missing = [...expected].filter((name) => !found.includes(name));
    if (extra.length === 0 && missing.length === 0) return;
    if (missing.length === 0 && isNewsTo(this.#hosts(), host, { history, names: extra })) return;
    const tell = (names: string[]): string => names.map((name) => this.tell(key, name)).join(", ") || "none";
    this.broken(
      "a state is what its history says",
      `${where}: came back or unseen: ${tell(extra)}; dropped without being superseded: ${tell(missing)}`,
    );
  }

  /** An event in words. */
  tell(key: string, name: string): string {
    const event = this.history(key).events.get(name);
    return event === undefined ? name : `write ${event.write.id} (${name})`;
  }

  // -- What nodes answer --------------------------------------------------------------------------------------------

  /** Values and context of one answer belong together. `wallMs`: now, of the host that judged expiry, if that is known. */
  answered(
    key: string,
    where: string,
    answer: {
      readonly siblings: readonly Sibling[];
      readonly context: readonly Dot[];
      readonly wallMs: number | undefined;
      /** Who was asked. */
      readonly host: string;
    },
  ): void {
    this.checks += 1;
    const history = this.history(key);
    const found = new Set<string>();
    for (const { dot, body, contentType, expiresAtMs } of answer.siblings) {
      found.add(dot);
      const event = history.events.get(dot);
      const isIntact = event !== undefined && idOfContentType(contentType) === event.write.id;
      if (!isIntact || !equalBytes(body, event.write.body)) {
        return this.broken("only written values", `${where} answers ${dot} (${contentType}), which was not stored so`);
      }
      if ((expiresAtMs ?? Infinity) <= (answer.wallMs ?? 0)) {
        return this.broken("an expired value reads as deleted", `${where}: write ${event.write.id}`);
      }
    }
    if (history.truncated) return;
    const isShown = (name: string): boolean => {
      const { value, expiryVaries } = history.events.get(name)!;
      if (value.tombstone || value.expiresAtMs === undefined) return !value.tombstone;
      return answer.wallMs === undefined || expiryVaries ? found.has(name) : value.expiresAtMs > answer.wallMs;
    };
    const expected = [...history.liveOf(answer.context)].filter(isShown);
    if (expected.length === found.size && expected.every((name) => found.has(name))) return;
    // Its writer has seen also what was lost with its disks (seed 19001656).
    const left = expected.filter((name) => !history.events.get(name)!.write.lost);
    const missing = left.filter((name) => !found.has(name)).map((name) => this.tell(key, name));
    const extra = [...found].filter((name) => !expected.includes(name) && !history.isFolded(name));
    const isNews = (): boolean => isNewsTo(this.#hosts(), answer.host, { history, names: extra });
    if (missing.length === 0 && (extra.length === 0 || isNews())) return;
    const seen = extra.map((name) => this.tell(key, name)).join();
    const text = `${where}: its context covers what is not returned: ${missing.join()}; returned but seen by others: ${seen}`;
    this.broken("a context covers what was seen and no more", text);
  }

  /** A receipt's context without siblings: its writer's value is the only live one. */
  alone(key: string, where: string, context: readonly Dot[]): void {
    this.checks += 1;
    const history = this.history(key);
    if (history.truncated) return;
    const live = history.liveOf(context);
    if (live.size === 1) return;
    const text = `${where}: its context covers ${[...live].map((name) => this.tell(key, name)).join()}, which were not returned`;
    this.broken("a context covers what was seen and no more", text);
  }

  /** Call at once when a write is acknowledged. */
  acknowledged(write: Write, where: string, needed: number): void {
    this.checks += 1;
    const { durable } = write.ack!;
    if (write.forged) return this.broken("a forged context is refused", `${where}: write ${write.id} was acknowledged`);
    if (new Set(durable).size < needed || new Set(durable).size !== durable.length) {
      return this.broken("an ack is W durable copies", `${where}: ${durable.join()} for W=${needed}`);
    }
    if (this.history(write.key).isForgiven(write)) return;
    if (write.events.size === 0) {
      return this.broken("an ack is W durable copies", `${where}: write ${write.id} is on no disk`);
    }
    // A stand-in may have handed it on meanwhile: then another disk has the copy that it promised.
    const isStored = ({ view, synced }: SimDisk): boolean =>
      this.#knows(this.#options.durability === "synced" ? synced : view, write);
    const storing = [...this.#hosts()].filter(({ disk }) => isStored(disk));
    const losing = [...this.#lossesMs].filter(
      ([id, atMs]) => atMs >= write.startedMs && !storing.some((host) => host.id === id),
    );
    if (storing.length + losing.length < needed) {
      const on = storing.map(({ name }) => name).join() || "no disk";
      this.broken("an ack is W durable copies", `${where}: write ${write.id} is on ${on}, not on ${durable.join()}`);
    }
    // Buffered: one copy is synced, not always one of these (a repeat may find it done by another coordinator).
    const isSynced = [...this.#hosts()].some(({ disk }) => this.#knows(disk.synced, write));
    const mayBeLost = [...this.#lossesMs.values()].some((atMs) => atMs >= write.startedMs);
    if (!isSynced && !mayBeLost)
      this.broken("an ack is W durable copies", `${where}: write ${write.id} is synced nowhere`);
  }

  /** A refusal with a 4xx changed nothing; call it when all tries of the write have ended so. */
  refused(write: Write, where: string): void {
    this.checks += 1;
    if (write.events.size > 0) this.broken("a refused write changes nothing", `${where}: write ${write.id}`);
  }

  /** Events that so many owners hold that any R of them include one of these. Undefined: hosts differ about the ring. */
  mustBeRead(key: string, spec: QuorumSpec): { readonly names: readonly string[]; readonly ring: string } | undefined {
    const located = this.locate(key);
    const ring = this.ring();
    if (ring === undefined || this.#hasTwins()) return undefined;
    const owners = ring.owners(located.partition);
    if (typeof spec === "number" && spec > owners.length) return undefined;
    const r = resolveQuorum(spec, owners.length, "r");
    const states = [...this.#hosts()].flatMap((host) =>
      owners.includes(host.id) ? [objectOn(host.disk.synced, located)] : [],
    );
    const history = this.history(key);
    const names = [...history.events.values()].flatMap(({ name, dot }) => {
      if (history.forgotten.has(name)) return [];
      const holders = states.filter((state) => state !== undefined && covers(state.vector, dot)).length;
      return holders > owners.length - r ? [name] : [];
    });
    return { names, ring: ring.fingerprint };
  }

  /** `expected`: of `mustBeRead` when the read began. Only for reads that are not degraded. */
  read(
    key: string,
    where: string,
    {
      expected,
      sinceMs,
      context,
    }: { expected: ReturnType<Oracle["mustBeRead"]>; sinceMs: number; context: readonly Dot[] },
  ): void {
    const ring = this.ring()?.fingerprint;
    const lost = [...this.#lossesMs.values()].some((atMs) => atMs >= sinceMs);
    const history = this.history(key);
    if (expected === undefined || ring !== expected.ring || lost || history.truncated || this.#hasTwins()) return;
    this.checks += expected.names.length;
    const missing = expected.names.filter((name) => {
      const event = history.events.get(name)!;
      return !history.knows(context, event) && !event.reaped;
    });
    if (missing.length === 0) return;
    const text = `${where} misses ${missing.map((name) => this.tell(key, name)).join()}`;
    this.broken("a read knows what any R owners know", text);
  }

  /** Two answer under one name: what "R owners" know depends on whom one meets. */
  #hasTwins(): boolean {
    const ids = [...this.#hosts()].map(({ id }) => id);
    return new Set(ids).size < ids.length;
  }

  /** The ring of all hosts, by their disks; undefined while they differ. */
  ring(): NonNullable<ReturnType<typeof membershipOn>>["ring"] | undefined {
    let agreed: NonNullable<ReturnType<typeof membershipOn>>["ring"] | undefined;
    for (const host of this.#hosts()) {
      const ring = membershipOn(host.disk.view)?.ring;
      if (ring === undefined || (agreed !== undefined && agreed.fingerprint !== ring.fingerprint)) return undefined;
      agreed ??= ring;
    }
    return agreed;
  }

  /** Call around what takes stored data away; that it may cost copies goes for faults, not for what a store does by itself. */
  losing(host: SimHost, nowMs: number, lose: () => void, { mayCost = true } = {}): void {
    const before = this.#knownOn(host.disk.view);
    lose();
    const after = this.#knownOn(host.disk.view);
    const twins = [...this.#hosts()].filter((other) => other !== host && other.id === host.id);
    for (const write of before) {
      if (after.has(write)) continue;
      this.#lossesMs.set(host.id, nowMs);
      // An ack that names this host was of one of the two.
      if (twins.some(({ disk }) => this.#knows(disk.view, write))) continue;
      if (mayCost) write.copiesLost += 1;
      this.checkLeft(write, `after the loss on ${host.name}`);
    }
  }

  /** When it last lost something that it had stored. */
  lossMs(host: NodeId): number | undefined {
    return this.#lossesMs.get(host);
  }

  /** Call when a copy of the write is gone. */
  checkLeft(write: Write, where: string): void {
    if (this.history(write.key).isForgiven(write)) return;
    for (const host of this.#hosts()) if (this.#knows(host.disk.view, write)) return;
    const promised = copiesPromised(write);
    if (write.copiesLost >= promised) write.lost = true;
    else {
      const text = `${where}: write ${write.id} is on no disk; acknowledged with ${promised} copies, ${write.copiesLost} lost with disks`;
      this.broken("no acknowledged write is lost", text);
    }
  }

  #knownOn(image: DiskImage): Set<Write> {
    const known = new Set<Write>();
    for (const { key, state } of statesOn(image)) {
      const history = this.history(key);
      for (const event of history.events.values()) {
        if (history.knows(state.vector, event)) known.add(event.write);
      }
    }
    return known;
  }

  #knows(image: DiskImage, write: Write): boolean {
    const history = this.history(write.key);
    const states = statesOn(image).filter(({ key }) => key === write.key);
    return [...write.events].some((name) =>
      states.some(({ state }) => history.knows(state.vector, history.events.get(name)!)),
    );
  }
}
