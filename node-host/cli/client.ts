/**
 * A client of the HTTP API for the command line. Failures come back as the `StoreError` that the host threw.
 * Built on `node:http`, because `fetch` refuses answers with headers above 16 KiB, and a context may have 32.
 */
import { Agent, type IncomingMessage, request, type OutgoingHttpHeaders } from "node:http";
import { request as secureRequest } from "node:https";
import { statusOfCode, StoreError, type StoreErrorCode } from "../../core/errors.ts";
import { CliError, readAll } from "./terminal.ts";

export const defaultUrl = "http://127.0.0.1:7070";

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export interface Call {
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array;
  readonly query?: Readonly<Record<string, string | number | true | undefined>>;
  readonly signal?: AbortSignal;
}

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
    const response = await this.open(method, path, call);
    return { status: response.statusCode ?? 0, headers: response.headers, body: await readAll(response) };
  }

  /** The JSON of a 2xx answer. @throws StoreError as the host named it */
  async json<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const answer = await this.call(method, path, call);
    if (answer.status >= 300) throw errorOf(answer);
    return JSON.parse(answer.body.toString()) as T;
  }

  /** The answer as a stream, its headers read. */
  open(method: string, path: string, { headers = {}, body, query = {}, signal }: Call): Promise<IncomingMessage> {
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
          ...(signal && { signal }),
        },
        resolve,
      );
      outgoing.on("error", (error) => reject(connectionError(error, this.url)));
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

export function errorOf({ status, body }: HttpAnswer): Error {
  try {
    const { code, message, ...detail } = (JSON.parse(body.toString()) as { error: ErrorJson }).error;
    if (Object.hasOwn(statusOfCode, code)) return new StoreError(code, message, detail);
  } catch {
    // Not ours: a proxy, or another server on that port.
  }
  return new CliError(`the answer is HTTP ${status} and not of an Everwrite host: ${body.toString().slice(0, 200)}`);
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

function connectionError(error: NodeJS.ErrnoException, url: URL): Error {
  if (error.name === "AbortError") return error;
  const unreachable = ["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ETIMEDOUT", "EAI_AGAIN"].includes(
    error.code ?? "",
  );
  return unreachable
    ? new CliError(
        `no host answers at ${url.origin}: is it running? Start one with \`everwrite host\`, or name another with --http`,
        { cause: error },
      )
    : new CliError(`the connection to ${url.origin} broke: ${error.message}`, { cause: error });
}
