/**
 * How nodes that nobody can dial hear of each other: a relay tells who asks which hosts of a cluster are there.
 * One stream a question, with one message each way; whoever calls itself a host is listed while its connection lasts.
 *
 * It holds nothing that would outlive a connection, and proves nothing: who is a member is between the hosts themselves.
 * What anybody who knows a cluster's name can learn from it are the ids of pages, to which the relay is the way anyhow.
 */
import type { Connection, Libp2p, Stream } from "@libp2p/interface";
import { bool, choice, DecodeError, field, type Infer, message, repeated, text, varint } from "../bytes/codec.ts";
import type { NodeId } from "../identity.ts";
import type { Clock, Random } from "../ports.ts";

const introductionProtocol = "/everwrite/introductions/1";

/** Told at once; of more a random choice. One that answers is enough to hear of all. */
const introducedMax = 16;
/** Clusters in whose lists one node is at the same relay. */
const clustersMax = 16;
const questionBytesMax = 1_024;
const answerBytesMax = 8_192;
const answerTimeoutMs = 5_000;

/** `candidate`: it would found the cluster where there is no host. One is listed as the highest that it called itself. */
const standing = choice({ visitor: 0, candidate: 1, host: 2 });
const Question = message("IntroductionQuestion", { cluster: field(1, text(256)), standing: field(2, standing) });
const Answer = message("IntroductionAnswer", {
  /** Hosts other than the asker. */
  hosts: repeated(1, text(128), introducedMax),
  /** There is no host, and the asker came before all other candidates. */
  isFirst: field(2, bool),
  /** How long the relay has run, ms: at first it knows of nobody. */
  upMs: field(3, varint),
});
export type Question = Infer<typeof Question>;
export type Introduction = Omit<Infer<typeof Answer>, "hosts"> & { readonly hosts: readonly NodeId[] };

/** The relay's side; ends with `libp2p`. */
export async function serveIntroductions(
  libp2p: Libp2p,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Promise<void> {
  const startedMs = clock.now();
  const lists = new Lists();
  libp2p.addEventListener("peer:disconnect", ({ detail: peer }) => lists.remove(peer.toString()));
  const answer = ({ remotePeer, status }: Connection, question: Question): Infer<typeof Answer> => {
    const from = remotePeer.toString();
    // One that is gone by now has been removed, and would never be again.
    if (status === "open") lists.add(from, question);
    const { hosts, candidates } = lists.of(question.cluster);
    const others = some(
      [...hosts].filter((id) => id !== from),
      random,
    );
    const isFirst = hosts.size === 0 && [...candidates][0] === from;
    return { hosts: others, isFirst, upMs: Math.floor(clock.now() - startedMs) };
  };
  const onStream = (stream: Stream, connection: Connection): void => {
    answerOn(stream, (question) => answer(connection, question)).catch((error: unknown) =>
      stream.abort(error instanceof Error ? error : new Error(String(error))),
    );
  };
  await libp2p.handle(introductionProtocol, onStream, { maxInboundStreams: 4 });
}

/**
 * Asks who is there; as a host or candidate the asker is listed until the connection ends.
 * @throws libp2p's UnsupportedProtocolError where nobody introduces anybody (a host, say), DecodeError, or whatever ends a stream
 */
export async function askForIntroduction(connection: Connection, question: Question): Promise<Introduction> {
  const signal = AbortSignal.timeout(answerTimeoutMs);
  const stream = await connection.newStream(introductionProtocol, { signal });
  try {
    const answered = readAll(stream, answerBytesMax, signal);
    stream.send(Question.encode(question));
    const [answer] = await Promise.all([answered, stream.close({ signal })]);
    const { hosts, ...rest } = Answer.decode(answer);
    return { ...rest, hosts: hosts as readonly NodeId[] };
  } catch (error: unknown) {
    stream.abort(new Error("no introduction"));
    throw error;
  }
}

async function answerOn(stream: Stream, answer: (question: Question) => Infer<typeof Answer>): Promise<void> {
  const signal = AbortSignal.timeout(answerTimeoutMs);
  const question = Question.decode(await readAll(stream, questionBytesMax, signal));
  stream.send(Answer.encode(answer(question)));
  await stream.close({ signal });
}

/** What the other side sends until it closes its end. @throws DecodeError for more than `bytesMax`, the signal's reason */
function readAll(stream: Stream, bytesMax: number, signal: AbortSignal): Promise<Uint8Array> {
  const whole = new Uint8Array(bytesMax);
  let bytes = 0;
  return new Promise((resolve, reject) => {
    stream.addEventListener("message", ({ data }) => {
      if (bytes + data.byteLength > bytesMax) return reject(new DecodeError(`more than ${bytesMax} bytes`));
      whole.set(data.subarray(), bytes);
      bytes += data.byteLength;
    });
    stream.addEventListener("remoteCloseWrite", () => resolve(whole.subarray(0, bytes)));
    stream.addEventListener("close", ({ error }) => reject(error ?? new Error("the stream was closed")));
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });
}

/** Ids of nodes, in the order in which they came. */
interface List {
  readonly hosts: Set<string>;
  readonly candidates: Set<string>;
}

/** By cluster. Invariant: nobody is in both lists of a cluster, and no list is empty. */
class Lists {
  readonly #lists = new Map<string, List>();

  of(cluster: string): List {
    return this.#lists.get(cluster) ?? { hosts: new Set(), candidates: new Set() };
  }

  add(id: string, { cluster, standing: as }: Question): void {
    const list = this.of(cluster);
    if (as === "visitor" || list.hosts.has(id)) return;
    const isKnown = list.candidates.has(id);
    if (!isKnown && this.#count(id) >= clustersMax) return;
    if (as === "host") list.candidates.delete(id);
    list[as === "host" ? "hosts" : "candidates"].add(id);
    this.#lists.set(cluster, list);
  }

  remove(id: string): void {
    for (const [cluster, { hosts, candidates }] of this.#lists) {
      hosts.delete(id);
      candidates.delete(id);
      if (hosts.size + candidates.size === 0) this.#lists.delete(cluster);
    }
  }

  #count(id: string): number {
    return [...this.#lists.values()].filter(({ hosts, candidates }) => hosts.has(id) || candidates.has(id)).length;
  }
}

function some(ids: readonly string[], random: Random): readonly string[] {
  const left = [...ids];
  while (left.length > introducedMax) left.splice(Math.floor(random.next() * left.length), 1);
  return left;
}
