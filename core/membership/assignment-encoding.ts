/**
 * The assignment in few bytes: a table of hosts, then two varints per token. Q=1024 and 30 hosts: 3.6 kB.
 */
import { bytes, DecodeError, field, type Infer, message, repeated, text } from "../bytes/codec.ts";
import type { NodeId } from "../identity.ts";
import type { Assignment, AssignmentEntry } from "../placement/assignment.ts";

const AssignmentMessage = message("Assignment", {
  hosts: repeated(1, text(128), 65_536),
  /** For each token, in order: index into `hosts` plus one (0 = nobody), epoch; LEB128 varints. */
  tokens: field(2, bytes(2_097_152)),
});
/** Above it an epoch could not be raised any more. */
const epochMax = 2 ** 40;
type AssignmentMessage = Infer<typeof AssignmentMessage>;

/** Assignments are immutable, and change far less often than the rosters they are in are stored. */
const encodings = new WeakMap<Assignment, Uint8Array>();

/** Not to be changed: every caller gets the same bytes. */
export function encodeAssignment(assignment: Assignment): Uint8Array {
  let encoded = encodings.get(assignment);
  if (encoded === undefined) encodings.set(assignment, (encoded = encode(assignment)));
  return encoded;
}

function encode(assignment: Assignment): Uint8Array {
  const hosts = [...new Set(assignment.flatMap(({ host }) => (host === null ? [] : [host])))].toSorted();
  const indexOf = new Map(hosts.map((host, i) => [host, i + 1]));
  const tokens: number[] = [];
  for (const { host, epoch } of assignment) {
    pushVarint(tokens, host === null ? 0 : indexOf.get(host)!);
    pushVarint(tokens, epoch);
  }
  return AssignmentMessage.encode({ hosts, tokens: Uint8Array.from(tokens) });
}

/** @throws DecodeError unless it names exactly `partitions` tokens. */
export function decodeAssignment(encoded: Uint8Array, partitions: number): Assignment {
  const incoming: AssignmentMessage = AssignmentMessage.decode(encoded);
  const entries: AssignmentEntry[] = [];
  let position = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 42; factor *= 128) {
      const byte = incoming.tokens[position++];
      if (byte === undefined) throw new DecodeError("Assignment.tokens ends in the middle of a number");
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new DecodeError("Assignment.tokens holds a number above 2^49");
  };
  while (position < incoming.tokens.length) {
    const index = varint();
    const epoch = varint();
    const host = index === 0 ? null : incoming.hosts[index - 1];
    if (host === undefined) throw new DecodeError(`Assignment.tokens names host ${index} of ${incoming.hosts.length}`);
    if (epoch > epochMax)
      throw new DecodeError(`Assignment.tokens has an epoch of ${epoch}, at most ${epochMax} can be`);
    entries.push({ host: host as NodeId | null, epoch });
    if (entries.length > partitions) break;
  }
  if (entries.length !== partitions) {
    throw new DecodeError(`Assignment.tokens has ${entries.length} entries instead of ${partitions}`);
  }
  return entries;
}

function pushVarint(target: number[], value: number): void {
  let rest = value;
  while (rest >= 128) {
    target.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  target.push(rest);
}
