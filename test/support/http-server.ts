/**
 * The real HTTP server over a fake node, on a loopback port; and requests as bytes, because every HTTP client
 * rewrites the paths and headers that the tests are about.
 */
import { connect, type AddressInfo } from "node:net";
import { nodeDefaults } from "../../core/config.ts";
import { createHttpServer, type HttpConfig } from "../../node-host/http/server.ts";
import { metricsTelemetry, type Metrics } from "../../node-host/metrics.ts";
import { FakeNode } from "./fake-node.ts";

export interface TestServer extends AsyncDisposable {
  readonly node: FakeNode;
  readonly metrics: Metrics;
  readonly port: number;
  readonly url: string;
  readonly logged: object[];
  close(): Promise<void>;
}

export async function startTestServer(config: Partial<HttpConfig> = {}): Promise<TestServer> {
  const node = new FakeNode();
  const metrics = metricsTelemetry();
  const logged: object[] = [];
  const server = createHttpServer({
    node,
    metrics,
    config: { ...nodeDefaults, names: [], watchPingMs: 15_000, ...config },
    log: { error: (fields) => logged.push(fields) },
  });
  await server.listen({ host: "127.0.0.1", port: 0 });
  const { port } = server.server.address() as AddressInfo;
  const close = (): Promise<void> => server.close();
  return { node, metrics, port, url: `http://127.0.0.1:${port}`, logged, close, [Symbol.asyncDispose]: close };
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Sends the bytes as they are and reads until the server closes; adds only what no test is about. */
export async function raw(port: number, head: string, body: string | Uint8Array = ""): Promise<RawAnswer> {
  const [line = "", ...headers] = head.split("\n");
  const names = headers.map((header) => header.split(":")[0]?.toLowerCase());
  if (!names.includes("host") && !names.includes("no-host")) headers.push(`Host: 127.0.0.1:${port}`);
  if (body.length > 0 && !names.includes("transfer-encoding"))
    headers.push(`Content-Length: ${Buffer.byteLength(body)}`);
  const sent = [`${line} HTTP/1.1`, ...headers, "Connection: close", "", ""].join("\r\n");
  return parse(await exchange(port, Buffer.concat([Buffer.from(sent), Buffer.from(body)])));
}

export function exchange(port: number, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.on("error", reject);
  });
}

export function parse(text: string): RawAnswer {
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const [line = "", ...headers] = head.split("\r\n");
  return {
    status: Number(line.split(" ")[1]),
    headers: Object.fromEntries(
      headers.map((header) => {
        const colon = header.indexOf(":");
        return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()];
      }),
    ),
    body: rest.join("\r\n\r\n"),
  };
}

export interface ErrorBody {
  error: { code: string; message: string; needed?: number; got?: number; writeMaySurvive?: boolean };
}

export async function errorOf(response: Response): Promise<{ status: number } & ErrorBody["error"]> {
  return { status: response.status, ...((await response.json()) as ErrorBody).error };
}

export function put(
  server: TestServer,
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
) {
  return fetch(`${server.url}${path}`, { method: "PUT", body, headers });
}
