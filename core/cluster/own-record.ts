/**
 * What this node says of itself, and what it does when it hears that somebody else did so with its key (PROTOCOL 9).
 * Invariants: each statement has a higher incarnation than any that was heard of, and a final status stays; a mark that
 * the directory does not know is acted upon once, whoever repeats it.
 */
import type { NodeId } from "../identity.ts";
import type { MemberRecord, MemberStatement } from "../membership/member.ts";
import { answersFor, isOnRing, type RosterPart } from "../membership/roster.ts";
import { signMember } from "../membership/signed-member.ts";
import type { Clock, Identity } from "../ports.ts";
import type { Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Cluster } from "./cluster.ts";
import type { Marks } from "./marks.ts";

export interface OwnRecordDeps {
  readonly self: NodeId;
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly identity: Identity;
  readonly marks: Marks;
  readonly tasks: Pick<Tasks, "run">;
  readonly telemetry: Telemetry;
  readonly onOldCopy: () => void;
}

/** Two processes with one key outbid each other for ever; people should see it, and the network should not feel it. */
const rivalPauseMs = 10_000;

export class OwnRecord {
  readonly #deps: OwnRecordDeps;
  /** As this process said it last: a record that won over ours may be of another process with this identity. */
  #stated: MemberStatement;
  #last: Promise<unknown> = Promise.resolve();
  #isOldCopy = false;
  #isAnswering = false;
  rivalAtMs: number | undefined;

  constructor(deps: OwnRecordDeps) {
    this.#deps = deps;
    this.#stated = deps.cluster.ownRecord;
  }

  amend(change: Partial<MemberStatement>): Promise<void> {
    return this.#inTurn(async () => {
      const { cluster, identity, self } = this.#deps;
      let said: MemberRecord;
      do {
        const { life, incarnation, status } = cluster.ownRecord;
        const raised = { answers: this.#answers(), incarnation: Math.max(incarnation, change.incarnation ?? 0) + 1 };
        const next = { ...this.#stated, life, status, ...change, ...raised };
        said = await signMember(next, self, (input) => identity.sign(input));
        cluster.merge({ members: new Map([[self, said]]) }, "own");
      } while (cluster.ownRecord.incarnation > said.incarnation && isOnRing(cluster.ownRecord.status));
      this.#stated = said;
    });
  }

  retire(id: NodeId, status: "removed" | "lapsed", alongside: () => RosterPart): Promise<void> {
    return this.#inTurn(async () => {
      const { cluster, identity, self } = this.#deps;
      const member = cluster.roster.members.get(id);
      if (member === undefined || !isOnRing(member.status)) return;
      const retired = await signMember({ ...member, status }, self, (input) => identity.sign(input));
      // Of a later life it says nothing, and within this one it wins whatever its host has said meanwhile.
      cluster.merge({ ...alongside(), members: new Map([[id, retired]]) }, "own");
    });
  }

  async drawMark(): Promise<void> {
    await this.amend({ mark: await this.#deps.marks.draw() });
  }

  /** Records of this node that somebody had; questions about it are looked at as well. */
  heard(records: readonly MemberRecord[]): void {
    const { cluster, marks, self } = this.#deps;
    const about = [...records, ...cluster.roster.questions].filter(({ id, proof }) => id === self && proof.by === self);
    const strange = about.filter((record) => marks.isStrange(record));
    if (strange.length > 0) this.#meetStranger(strange);
    else if (about.some((record) => !answersFor(cluster.ownRecord, record))) this.#answer();
  }

  #meetStranger(strange: readonly MemberRecord[]): void {
    const { cluster, clock, marks, tasks } = this.#deps;
    if (this.#isOldCopy) return;
    if (!marks.isNew) {
      this.#isOldCopy = true;
      this.#tell(strange, "its data is an old copy and is set aside");
      this.#deps.onOldCopy();
      return;
    }
    // This directory is younger than the process: it is no copy. Either the seed was behind, or somebody else has our key.
    if (this.rivalAtMs !== undefined && clock.now() - this.rivalAtMs < rivalPauseMs) return;
    this.rivalAtMs = clock.now();
    this.#tell(strange, "another process runs, or ran, under its identity; every partition is filled anew");
    cluster.refillAll();
    tasks.run("outbid a process of the same identity", async () => {
      await marks.note([...new Set(strange.map(({ mark }) => mark))]);
      await this.drawMark();
      await marks.bear(cluster.ownRecord);
      cluster.publishHoldings();
    });
  }

  #answer(): void {
    if (this.#isAnswering) return;
    this.#isAnswering = true;
    this.#deps.tasks.run("answer for a mark", () =>
      this.amend({}).finally(() => {
        this.#isAnswering = false;
      }),
    );
  }

  /** The latest marks, and those that others ask about and that are known here. */
  #answers(): readonly string[] {
    const { cluster, marks, self } = this.#deps;
    const asked = cluster.roster.questions.filter((record) => record.id === self && !marks.isStrange(record));
    return [...new Set([...marks.latest, ...asked.map(({ mark }) => mark)])];
  }

  #tell([first]: readonly MemberRecord[], what: string): void {
    const reason = `a peer knows incarnation ${first!.incarnation} of this host, its data directory does not: ${what}`;
    this.#deps.telemetry.event({ kind: "old-data", reason });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work, work);
    this.#last = done;
    return done;
  }
}
