/**
 * Typed requests between nodes. The body of a request frame is the method's number and its message;
 * the body of an answer is 0 and the message, or 1 and an error. Both sides share the methods' definitions.
 * Invariant: bytes from a peer become a whole message or a typed error, and change nothing before that.
 */
import { DecodeError, type Given, type Message, RetiredError } from "../bytes/codec.ts";
import { StoreError, type StoreErrorCode, statusOfCode } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import { type Clock, type Stop, type Transport, TransportError } from "../ports.ts";
import type { Telemetry } from "../telemetry.ts";
import { ErrorMessage, errorNodesMax } from "./common-messages.ts";

export interface Method<Request, Response> {
  /** One byte on the wire; never given to another method. */
  readonly number: number;
  readonly name: string;
  readonly request: Message<Request>;
  readonly response: Message<Response>;
}

/** Numbers of the methods that this code knows; a host that still starts serves few of them. */
const defined = new Set<number>();

/** For the tables of methods. */
export function define<Request, Response>(
  number: number,
  name: string,
  request: Message<Request>,
  response: Message<Response>,
): Method<Request, Response> {
  defined.add(number);
  return { number, name, request, response };
}

const ok = 0;
const failed = 1;

/**
 * Sends one request and waits for its answer.
 * @throws TransportError when there is no answer; its kind tells whether the peer may have acted.
 * @throws StoreError when the peer refused.
 */
export function call<Request, Response>(
  transport: Pick<Transport, "request">,
  to: NodeId,
  method: Method<Request, Response>,
  request: Given<Request>,
  timeoutMs: number,
): Promise<Response> {
  return callEncoded(transport, to, method, encodeCall(method, request), timeoutMs);
}

/** A request's bytes, for a request that goes to several peers. */
export function encodeCall<Request>(method: Method<Request, unknown>, request: Given<Request>): Uint8Array {
  return method.request.encode(request, method.number);
}

/** Sends one request whose answer nobody waits for, and which may be lost. */
export function tell<Request>(
  transport: Pick<Transport, "tell">,
  to: NodeId,
  method: Method<Request, unknown>,
  request: Given<Request>,
): void {
  transport.tell(to, encodeCall(method, request));
}

/** As `call`, with a body of `encodeCall`. */
export async function callEncoded<Response>(
  transport: Pick<Transport, "request">,
  to: NodeId,
  method: Pick<Method<never, Response>, "name" | "response">,
  body: Uint8Array,
  timeoutMs: number,
): Promise<Response> {
  const answer = await transport.request(to, body, timeoutMs);
  try {
    if (answer[0] === ok) return method.response.decode(answer, 1);
    if (answer[0] === failed) throw storeErrorOf(ErrorMessage.decode(answer, 1));
  } catch (error: unknown) {
    if (!(error instanceof DecodeError)) throw error;
    throw new TransportError("lost", `unreadable answer to ${method.name} from ${to}: ${error.message}`, {
      cause: error,
    });
  }
  throw new TransportError(
    "lost",
    `unreadable answer to ${method.name} from ${to}: unknown kind ${answer[0] ?? "none"}`,
  );
}

/** A peer's error becomes ours; a code of a newer version becomes `internal`. */
function storeErrorOf(error: ReturnType<typeof ErrorMessage.decode>): StoreError {
  const { code, message, from, contexts, ...detail } = error;
  return new StoreError(Object.hasOwn(statusOfCode, code) ? (code as StoreErrorCode) : "internal", message, {
    ...detail,
    ...(from.length === 0 ? {} : { from }),
    ...(contexts === undefined ? {} : { contexts: [...contexts] }),
  });
}

interface Served {
  // oxlint-disable-next-line typescript/no-explicit-any -- methods of all types stand side by side
  readonly method: Method<any, any>;
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly answer: (from: NodeId, request: any, deadlineMs: number) => Promise<unknown>;
}

/** Of a host that starts again: what of whom waits for that. */
export interface Restart {
  readonly clock: Clock;
  /** Those that clients call: they may know no other host. */
  readonly methods: readonly Pick<Method<never, unknown>, "number">[];
  /** Who is among these asks another host at once. */
  readonly members: ReadonlyMap<NodeId, unknown>;
}

/** From when it listens. A host that starts again looks for the others for a second (`untilInContact`), mostly for a tenth of it. */
const restartMsMax = 1_500;
/** Any more are refused as before. */
const waitingMax = 1_024;

/** Answers requests by method. */
export class RpcServer {
  #served = new Map<number, Served>();
  /** Each resolves for who waits until a method is served. */
  readonly #waiting = new Map<() => void, number>();
  readonly #telemetry: Telemetry;

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  on<Request, Response>(
    method: Method<Request, Response>,
    answer: (from: NodeId, request: Request, deadlineMs: number) => Promise<Response>,
  ): void {
    this.#served.set(method.number, { method, answer });
    this.#letGo(method.number);
  }

  /**
   * From now on it answers nothing but `not-ready` (soon after a restart, to clients, when they have waited): what stood
   * behind the answers is gone. What is under way may have acted all the same (a write may be at other hosts by now), so
   * it is answered `outcome-unknown`, never as a refusal.
   */
  clear(): void {
    this.#served = new Map();
  }

  /** In a `restart` strangers are not refused for what is not served yet, but wait for it. */
  listen(transport: Transport, restart?: Restart): Stop {
    const endMs = (restart?.clock.now() ?? 0) + restartMsMax;
    const stop = transport.serve(async (from, body, deadlineMs) => {
      const number = body[0] ?? 0;
      if (restart !== undefined && this.#isToWait(restart, from, number)) {
        const { clock } = restart;
        await this.#untilServed(number, clock, Math.min(deadlineMs, endMs) - clock.now());
        // Who was stopped meanwhile may be ready before the timer finds that it is too late.
        if (clock.now() > deadlineMs) return this.#encodeError(from, notAwaited());
      }
      return this.#answer(from, body, deadlineMs);
    });
    return () => {
      stop();
      this.#letGo();
    };
  }

  #isToWait({ methods, members }: Restart, from: NodeId, number: number): boolean {
    const isForClients = methods.some((method) => method.number === number);
    return isForClients && !this.#served.has(number) && this.#waiting.size < waitingMax && !members.has(from);
  }

  #untilServed(number: number, clock: Clock, msMax: number): Promise<void> {
    if (msMax <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const go = (): void => {
        stop();
        this.#waiting.delete(go);
        resolve();
      };
      const stop = clock.after(msMax, go);
      this.#waiting.set(go, number);
    });
  }

  /** Those that wait for this method, or all. */
  #letGo(served?: number): void {
    for (const [go, number] of this.#waiting) if (served === undefined || served === number) go();
  }

  async #answer(from: NodeId, body: Uint8Array, deadlineMs: number): Promise<Uint8Array> {
    try {
      const all = this.#served;
      const served = all.get(body[0] ?? 0);
      if (served === undefined) throw notServed(body[0]);
      const { method, answer } = served;
      const response = await answer(from, method.request.decode(body, 1), deadlineMs);
      if (this.#served !== all) throw begunBefore(method);
      return method.response.encode(response as never, ok);
    } catch (error: unknown) {
      return this.#encodeError(from, error);
    }
  }

  #encodeError(from: NodeId, error: unknown): Uint8Array {
    if (error instanceof DecodeError) {
      this.#telemetry.event({ kind: "bad-frame", from, reason: error.message });
      // Who is told `bad-request` may give up; but another host may be of its release, or it is updated too.
      const code = error instanceof RetiredError ? "not-ready" : "bad-request";
      return ErrorMessage.encode({ code, message: shortened(error.message), from: [] }, failed);
    }
    if (error instanceof StoreError) {
      const { from = [], contexts, ...detail } = error.detail;
      const places = contexts && Uint8Array.from(contexts);
      const told = { ...detail, contexts: places, from: from.slice(0, errorNodesMax) };
      return ErrorMessage.encode({ ...told, code: error.code, message: shortened(error.message) }, failed);
    }
    if (error instanceof TransportError) {
      // Another node was needed for the answer and could not be asked; nothing was done.
      return ErrorMessage.encode({ code: "not-ready", message: shortened(error.message), from: [] }, failed);
    }
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#telemetry.event({ kind: "task-failed", task: "answer a request", reason: `from ${from}: ${reason}` });
    return ErrorMessage.encode({ code: "internal", message: "internal error; see the host's log", from: [] }, failed);
  }
}

/** Long texts are cut, and what a cut may halve is replaced: an error must always encode. */
function shortened(text: string): string {
  return text.slice(0, 1_000).replace(/\p{Surrogate}/gu, "\ufffd");
}

function begunBefore({ name }: { readonly name: string }): StoreError {
  return new StoreError(
    "outcome-unknown",
    `this host started anew while it answered ${name}: what that did may survive`,
  );
}

/** Its deadline has passed: nothing was begun. */
export function notAwaited(): StoreError {
  return new StoreError("not-ready", "the sender does not wait for this any more");
}

/** Methods of the tables have handlers once the node has its place in the cluster. */
function notServed(number: number | undefined): StoreError {
  if (number !== undefined && defined.has(number)) return new StoreError("not-ready", "this host is still starting");
  return new StoreError("bad-request", `this node has no method ${number ?? "(none)"}`);
}
