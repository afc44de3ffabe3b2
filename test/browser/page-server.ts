/**
 * A page for browser tests: one built module and what it imports, bundled by vite in memory and served on loopback.
 */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "vite";

/** Answers a request of the page by its body; what it throws is a 500. */
type Answer = (body: string) => string | Promise<string>;

export interface PageOptions {
  /** By path, e.g. `/acknowledged`; beside `/`, which is the page, and its script. */
  readonly answers?: Readonly<Record<string, Answer>>;
  /** Changes modules on their way into the bundle, for planted bugs. */
  readonly plugins?: readonly Plugin[];
  /** Of each answer, beside or instead of the usual ones. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface PageServer extends AsyncDisposable {
  /** Keep the server, or data in IndexedDB is another origin's. */
  readonly url: string;
}

const script = "/page.js";
/** The icon: the browser would ask for one, and log that there is none. */
const html = `<!doctype html><title>test</title><link rel="icon" href="data:,"><script type="module" src="${script}"></script>`;

/** Headers of a page by itself in its process, whose clock is exact to some microseconds, and not to a tenth of a millisecond. */
export const isolated = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
} as const;

/** `entry`: the built module, e.g. `new URL("./pages/storage.js", import.meta.url)`. */
export async function servePage(entry: URL, options: PageOptions = {}): Promise<PageServer> {
  const { answers = {}, plugins = [], headers = {} } = options;
  const files = new Map([["/", html], ...(await bundle(entry, plugins))]);
  const server = createServer(answerWith(files, answers, headers));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  return { url: `http://127.0.0.1:${port}/`, [Symbol.asyncDispose]: close };
}

/** Paths and texts of the scripts. */
async function bundle(entry: URL, plugins: readonly Plugin[]): Promise<(readonly [path: string, text: string])[]> {
  const result = await build({
    configFile: false,
    envDir: false,
    publicDir: false,
    logLevel: "warn",
    plugins: [...plugins],
    build: {
      write: false,
      // Quick to build, and stack traces that can be read.
      minify: false,
      target: "esnext",
      rolldownOptions: { input: fileURLToPath(entry), output: { entryFileNames: script.slice(1) } },
    },
  });
  if (!("output" in result)) throw new Error(`vite built no page of ${entry.pathname}`);
  return result.output.flatMap((file) => (file.type === "chunk" ? [[`/${file.fileName}`, file.code]] : []));
}

function answerWith(
  files: ReadonlyMap<string, string>,
  answers: Readonly<Record<string, Answer>>,
  headers: Readonly<Record<string, string>>,
): RequestListener {
  return (request, response) => {
    const path = request.url ?? "";
    const file = files.get(path);
    const answer = answers[path];
    for (const [name, value] of Object.entries({ "cache-control": "no-store", ...headers }))
      response.setHeader(name, value);
    if (file !== undefined) {
      end(response, 200, file, path.endsWith(".js") ? "text/javascript" : "text/html");
    } else if (answer === undefined) {
      end(response, 404, `nothing at ${path}`);
    } else {
      bodyOf(request)
        .then(answer)
        .then(
          (text) => end(response, 200, text),
          (error: unknown) => end(response, 500, String(error)),
        );
    }
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  return (await buffer(request)).toString();
}

function end(response: ServerResponse, status: number, text: string, type = "text/plain"): void {
  response.writeHead(status, { "content-type": `${type}; charset=utf-8` }).end(text);
}
