/**
 * The page of `npm start`, and what it needs of this machine: the addresses of the hosts, signals to their processes, and
 * what they tell of themselves.
 * Invariant: only a page from here, with the token that it was given, changes anything. It listens on loopback alone.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { clusterDefaults } from "../../core/config.ts";
import { StoreError } from "../../core/errors.ts";
import { errorAnswer } from "../http/errors.ts";
import { refuseForeign } from "../http/guard.ts";
import { ask, type DemoHost, type DemoHosts, isHostAction } from "./hosts.ts";
import { type DemoRelay, isRelayAction } from "./relay.ts";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
};

/** The page runs its own scripts alone, and talks to hosts over WebSockets. */
const pageHeaders = {
  "content-security-policy":
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; frame-ancestors 'self'; base-uri 'none'",
  "cross-origin-resource-policy": "same-origin",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

/** What a host may be asked: it changes nothing. */
const askable = /^(?:status|ring|explain\/.+)$/;

interface PageServerNeeds {
  /** Name of the hosts' cluster. */
  readonly cluster: string;
  readonly hosts: DemoHosts;
  readonly relay: DemoRelay;
  /** Directory of the built page. */
  readonly site: string;
}

/** Not yet listening. */
export function createPageServer({ cluster, hosts, relay, site }: PageServerNeeds): FastifyInstance {
  const token = randomBytes(16).toString("hex");
  const files = readSite(site);
  const app = fastify({ exposeHeadRoutes: false, return503OnClosing: false, forceCloseConnections: true });
  app.removeAllContentTypeParsers(); // nothing that is sent here has a body
  app.addHook("onRequest", async (request, reply) => {
    reply.headers({ ...pageHeaders, "cache-control": "no-cache" });
    refuseForeign(request.raw, []);
    if (request.url.startsWith("/control/")) refuseWithout(token, request);
  });
  app.setErrorHandler((error, request, reply: FastifyReply) => {
    const { status, body } = errorAnswer(error, request.method === "POST");
    reply.code(status).send(body);
  });

  app.get("/everwrite.json", async () => ({
    cluster,
    seeds: hosts.all.map(({ place }) => `/ip4/127.0.0.1/tcp/${place.wsPort}/ws`),
    copies: clusterDefaults.n,
    relays: [relay.address],
    control: { token },
  }));
  app.get("/control/hosts", async () => ({ hosts: hosts.all.map(viewOf) }));
  app.post("/control/hosts", async () => viewOf(await hosts.add()));
  app.route({
    method: "POST",
    url: "/control/hosts/:number/:action",
    handler: async ({ params }) => {
      const { number, action } = params as { number: string; action: string };
      if (!isHostAction(action)) throw new StoreError("bad-request", `a host cannot be told to ${action}`);
      await hosts.act(Number(number), action);
      return { hosts: hosts.all.map(viewOf) };
    },
  });
  app.get("/control/relay", async () => ({ isRunning: relay.isRunning }));
  app.post("/control/relay/:action", async ({ params }) => {
    const { action } = params as { action: string };
    if (!isRelayAction(action)) throw new StoreError("bad-request", `a relay cannot be told to ${action}`);
    await relay.act(action);
    return { isRunning: relay.isRunning };
  });
  app.get("/control/hosts/:number/*", async (request, reply) => {
    const { number, "*": path } = request.params as { number: string; "*": string };
    if (!askable.test(path) || path.split("/").includes(".."))
      throw new StoreError("not-found", `a host is not asked for ${path} here`);
    const response = await ask(hosts.host(Number(number)), path.split("/").map(encodeURIComponent).join("/"));
    return reply
      .code(response.status)
      .type("application/json")
      .send(await response.text());
  });
  app.get("/*", async (request, reply) => {
    const { "*": path } = request.params as { "*": string };
    const file = files.get(path === "" ? "index.html" : path);
    if (file === undefined) throw new StoreError("not-found", `there is no ${path} here`);
    return reply.type(types[extname(path === "" ? "index.html" : path)] ?? "application/octet-stream").send(file);
  });
  return app;
}

function viewOf({ place, state, id, isFull, process: child }: DemoHost): object {
  return { number: place.number, state, id, isFull, url: place.url, pid: state === "stopped" ? null : child.pid };
}

/** A page of another site can send no such header without asking, which nobody here answers. */
function refuseWithout(token: string, request: FastifyRequest): void {
  const given = Buffer.from(String(request.headers["everwrite-demo-token"] ?? ""));
  const wanted = Buffer.from(token);
  if (given.length === wanted.length && timingSafeEqual(given, wanted)) return;
  throw new StoreError("forbidden", "only the page of this server may do that: reload it if the server was restarted");
}

/** All of it: some hundred kB, read once. */
function readSite(site: string): ReadonlyMap<string, Buffer> {
  const entries = readdirSync(site, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    entries.map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      return [path.slice(site.length).replaceAll("\\", "/").replace(/^\//, ""), readFileSync(path)];
    }),
  );
}
