/**
 * A client of the HTTP API for the command line. Failures come back as the `StoreError` that the host threw.
 * Built on `node:http`, because `fetch` refuses answers with headers above 16 KiB, and a context may have 32.
 */
import { Agent, type ClientRequest, type IncomingMessage, request, type OutgoingHttpHeaders } from "node:http";
import { request as secureRequest } from "node:https";
import { statusOfCode, StoreError, type StoreErrorCode } from "../../core/errors.ts";
import { CliError, printable, readAll } from "./terminal.ts";

export const defaultUrl = "http://127.0.0.1:7070";

interface HttpAnswerOf<Body> {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Body;
}

export type HttpAnswer = HttpAnswerOf<Buffer>;
/** Its body as it comes. */
export type HttpStream = HttpAnswerOf<AsyncIterable<Uint8Array>>;

export interface Call {
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array;
  readonly query?: Readonly<Record<string, string | number | true | undefined>>;
  /** A host that sends nothing for so long hangs, or its machine is gone; 0: it may take as long as it does. */
  readonly silentMs?: number;
}

/** Far more than a host takes for a request that does not say how long, and than passes between a watch's pings. */
const silentMsDefault = 60_000;
const answerMarginMs = 10_000;

export class HttpClient {
  readonly url: URL;
  readonly #agent: Agent;

  /** `http://host:port`, behind a proxy with a path; without a scheme it is http. */
  constructor(url: string, options: { readonly connections?: number } = {}) {
    const full = /^[a-z]+:\/\//i.test(url) ? url : `http://${url}`;
    if (!URL.canParse(full) || !/^https?:/i.test(full)) {
      throw new StoreError("bad-request", `--http "${url}" is not a URL such as ${defaultUrl}`);
    }
    this.url = new URL(full);
    this.#agent = new Agent({ keepAlive: true, maxSockets: options.connections ?? 8 });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Any answer, errors included. */
  async call(method: string, path: string, call: Call = {}): Promise<HttpAnswer> {
    const { body, ...head } = await this.open(method, path, call);
    return { ...head, body: await readAll(body) };
  }

  /** The JSON of a 2xx answer. @throws StoreError as the host named it */
  async json<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const answer = await this.call(method, path, call);
    if (answer.status >= 300) throw errorOf(answer);
    return jsonOf<T>(answer);
  }

  /** The answer as a stream, its headers read. */
  open(method: string, path: string, { headers = {}, body, query = {}, ...call }: Call): Promise<HttpStream> {
    const silentMs = call.silentMs ?? Math.max(silentMsDefault, answerMarginMs + Number(query["timeoutMs"] ?? 0));
    const send = this.url.protocol === "https:" ? secureRequest : request;
    return new Promise((resolve, reject) => {
      const outgoing = send(
        {
          method,
          hostname: this.url.hostname.replace(/^\[(.*)\]$/, "$1"),
          port: this.url.port,
          path: this.url.pathname.replace(/\/$/, "") + path + queryText(query),
          headers: { ...headers, ...(body && { "content-length": body.byteLength }) },
          maxHeaderSize: 131_072,
          ...(this.url.protocol === "http:" && { agent: this.#agent }),
        },
        (response) => {
          part = response;
          const chunks = bodyOf(response, (error) => connectionError(error, method, this.url));
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: chunks });
        },
      );
      let part: ClientRequest | IncomingMessage = outgoing;
      outgoing.setTimeout(silentMs, () => part.destroy(new Error(`nothing came for ${silentMs / 1_000} s`)));
      outgoing.on("error", (error) => reject(connectionError(error, method, this.url)));
      outgoing.end(body);
    });
  }
}

/** `carts/alice` -> `/kv/carts/alice`, everything escaped. */
export function keyPath(route: string, key: string): string {
  const slash = key.indexOf("/");
  if (slash < 1 || slash === key.length - 1) {
    throw new StoreError("bad-request", `"${key}" names no key: expected BUCKET/KEY`);
  }
  return `${route}/${encodeURIComponent(key.slice(0, slash))}/${encodeURIComponent(key.slice(slash + 1))}`;
}

/** `carts` or `carts/` -> `/kv/carts/`. */
export function bucketPath(route: string, bucket: string): string {
  const name = bucket.replace(/\/$/, "");
  if (name === "" || name.includes("/")) throw new StoreError("bad-request", `"${bucket}" is not a bucket`);
  return `${route}/${encodeURIComponent(name)}/`;
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- names the form of the answer at each call
export function jsonOf<T>(answer: HttpAnswer): T {
  try {
    return JSON.parse(answer.body.toString()) as T;
  } catch {
    throw strangeAnswer(answer);
  }
}

export function errorOf(answer: HttpAnswer): Error {
  try {
    const { code, message, ...detail } = (JSON.parse(answer.body.toString()) as { error: ErrorJson }).error;
    if (Object.hasOwn(statusOfCode, code)) return new StoreError(code, message, detail);
  } catch {
    // Not ours.
  }
  return strangeAnswer(answer);
}

/** Of a proxy, or another server on that port. */
function strangeAnswer({ status, body }: HttpAnswer): CliError {
  const beginning = printable(body.toString().slice(0, 200));
  return new CliError(
    `the answer is HTTP ${status} and not of an Everwrite host: name one with --http. It begins: ${beginning}`,
  );
}

interface ErrorJson {
  readonly code: StoreErrorCode;
  readonly message: string;
  readonly needed?: number;
  readonly got?: number;
}

function queryText(query: NonNullable<Call["query"]>): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value === true ? 1 : encodeURIComponent(value)}`],
  );
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

async function* bodyOf(
  response: IncomingMessage,
  errorFor: (error: NodeJS.ErrnoException) => Error,
): AsyncGenerator<Uint8Array> {
  try {
    yield* response as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw errorFor(error as NodeJS.ErrnoException);
  }
}

function connectionError(error: NodeJS.ErrnoException, method: string, url: URL): Error {
  const unreachable = ["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ETIMEDOUT", "EAI_AGAIN"].includes(
    error.code ?? "",
  );
  const text = unreachable
    ? `no host answers at ${url.origin}: is it running? Start one with \`everwrite host\`, or name another with --http`
    : `the connection to ${url.origin} broke (${error.message.trim().replaceAll(/\s+/g, " ")})${afterBreak[method] ?? ""}`;
  return new CliError(text, { cause: error });
}

/** The host may have done what it was asked for. */
const afterBreak: Readonly<Record<string, string>> = {
  PUT: ": the write may survive, so read before you write again, or repeat it with --write-id",
  DELETE: ": the delete may survive, so read before you delete again",
  POST: ": it may go on, which `everwrite status` tells",
};
