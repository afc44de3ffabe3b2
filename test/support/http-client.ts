/**
 * The HTTP API as tests speak it: one host's `/kv`, each answer in one shape whatever its status.
 */

export interface KvAnswer {
  readonly status: number;
  /** Of the header; undefined where none was given. */
  readonly context: string | undefined;
  /** Values as text, sorted: siblings have no order. */
  readonly values: readonly string[];
  readonly json: KvJson;
}

export interface KvJson {
  readonly siblings?: readonly {
    readonly value: string;
    readonly encoding: "utf8" | "base64";
    readonly contentType: string;
    readonly dot: string;
    /** ISO time. */
    readonly expires?: string;
  }[];
  readonly context?: string | null;
  readonly deleted?: boolean;
  readonly degraded?: boolean;
  readonly holding?: string;
  readonly receipt?: {
    readonly durable: readonly string[];
    readonly hinted: readonly { readonly for: string; readonly at: string }[];
    readonly needed: number;
    readonly got: number;
  };
  readonly keys?: readonly string[];
  readonly next?: string | null;
  readonly error?: { readonly code: string; readonly message: string; readonly needed?: number; readonly got?: number };
}

export interface KvOptions {
  /** Without the question mark: `w=1&ifAbsent=1`. */
  readonly query?: string;
  readonly context?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Kv {
  get(key: string, query?: string): Promise<KvAnswer>;
  put(key: string, body: string | Uint8Array, options?: KvOptions): Promise<KvAnswer>;
  delete(key: string, options?: KvOptions): Promise<KvAnswer>;
}

/** Above any answer's own deadline: it ends a test that hangs. */
const hangMs = 60_000;

export function kv(url: string): Kv {
  const send = async (
    method: string,
    key: string,
    { query, context, headers }: KvOptions,
    body?: string | Uint8Array,
  ) => {
    const response = await fetch(`${url}/kv/${key}${query === undefined ? "" : `?${query}`}`, {
      method,
      signal: AbortSignal.timeout(hangMs),
      headers: {
        accept: "application/json",
        ...(context === undefined ? {} : { "everwrite-context": context }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : Buffer.from(body) }),
    });
    return answerOf(response);
  };
  return {
    get: (key, query) => send("GET", key, query === undefined ? {} : { query }),
    put: (key, body, options = {}) => send("PUT", key, options, body),
    delete: (key, options = {}) => send("DELETE", key, options),
  };
}

async function answerOf(response: Response): Promise<KvAnswer> {
  const json = (await response.json()) as KvJson;
  const values = (json.siblings ?? []).map(({ value, encoding }) => Buffer.from(value, encoding).toString()).toSorted();
  return { status: response.status, context: response.headers.get("everwrite-context") ?? undefined, values, json };
}

/** All keys of a bucket that begin so, page by page. */
export async function keysOf(url: string, bucket: string, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for (let after: string | null = ""; after !== null;) {
    const { status, json } = await kv(url).get(`${bucket}/`, new URLSearchParams({ prefix, after }).toString());
    if (json.keys === undefined) throw new Error(`the list of ${bucket}/${prefix} was answered by ${status}`);
    keys.push(...json.keys);
    after = json.next ?? null;
  }
  return keys;
}

export async function getJson<T>(url: string): Promise<T> {
  const response = await fetch(url, { signal: AbortSignal.timeout(hangMs) });
  return (await response.json()) as T;
}

/** One number of `/metrics`, summed over its labels. */
export async function metric(url: string, name: string): Promise<number> {
  return (await metrics(url))(name);
}

/** One scrape: each number by its name, summed over its labels, or over those with a label such as `verb="get"`. */
export async function metrics(url: string): Promise<(name: string, label?: string) => number> {
  const lines = (await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(hangMs) })).text()).split("\n");
  return (name, label = "") => {
    const found = lines.filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    // With labels it has no line before it has counted something; of a histogram only the whole has a type.
    const isKnown = found.length > 0 || lines.some((line) => line.startsWith(`# TYPE ${name} `));
    if (!isKnown) throw new Error(`${url}/metrics has no ${name}`);
    const chosen = found.filter((line) => line.includes(label));
    return chosen.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  };
}

/** The states of a `/watch` stream, as they come, until `signal` aborts. */
export async function* watchStates(
  url: string,
  signal: AbortSignal,
): AsyncGenerator<KvJson & { readonly bucket: string; readonly key: string }> {
  const response = await fetch(url, { signal });
  let text = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const event = text.slice(0, end);
      text = text.slice(end + 2);
      const data = /^event: state\ndata: (.*)$/.exec(event)?.[1];
      if (data !== undefined) yield JSON.parse(data) as KvJson & { bucket: string; key: string };
    }
  }
}
