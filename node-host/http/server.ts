/**
 * The HTTP API of a node: routes, limits and the one form of every error.
 * Invariant: no request reaches a handler before its Host and Origin were checked.
 */
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { NodeApi } from "../../core/api.ts";
import type { NodeConfig } from "../../core/config.ts";
import type { Metrics } from "../metrics.ts";
import { adminHandlers } from "./admin.ts";
import { answerClientError, errorAnswer, isBug, refuseTunnel } from "./errors.ts";
import { refuseForeign } from "./guard.ts";
import { infoHandlers } from "./info.ts";
import { kvHandlers } from "./kv.ts";
import { dataLimitHandler } from "./data-limit.ts";
import { importHandler } from "./import-old.ts";
import { repairHandler } from "./repair.ts";
import { promptShutdown } from "./shutdown.ts";
import { watches } from "./watch.ts";

export interface HttpConfig extends Pick<NodeConfig, "keyBytesMax" | "valueBytesMax" | "requestTimeoutMaxMs"> {
  /** Names and addresses the server answers to, beside loopback and the address a connection came in on. */
  readonly names: readonly string[];
  readonly watchPingMs: number;
}

/** The part of a logger that is needed here. */
export interface HttpLog {
  error(fields: object, message: string): void;
}

export interface HttpServerNeeds {
  /** Of a host whose storage has one. */
  readonly limit?: { bytesMax: number | null };
  /** Merges a storage that was set aside into the store; by its name. */
  readonly importOld?: (name: string) => Promise<unknown>;
  readonly node: NodeApi;
  readonly metrics: Metrics;
  readonly config: HttpConfig;
  readonly log: HttpLog;
}

const limits = {
  maxHeaderSize: 65_536, // a context has up to 32 KiB
  connections: 4_096, // each costs about 20 kB; the node itself bounds the requests under way
  requestTimeout: 60_000, // for the whole request to arrive: 1 MiB over a bad line
  headersTimeout: 15_000,
  connectionsCheckingInterval: 5_000, // how often the two above are looked at
  keepAliveTimeout: 75_000, // longer than the 60 s of most proxies, so that they close first
};

/** Not yet listening: `await server.listen({ host, port })`. */
export function createHttpServer({ node, metrics, config, log, importOld, limit }: HttpServerNeeds): FastifyInstance {
  const { connections, ...timeouts } = limits;
  const app: FastifyInstance = fastify({
    // Node would answer a missing Host with an error that is not in our form; the guard does it instead.
    http: { ...timeouts, requireHostHeader: false },
    requestTimeout: limits.requestTimeout,
    keepAliveTimeout: limits.keepAliveTimeout,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    routerOptions: { maxParamLength: limits.maxHeaderSize },
    frameworkErrors: sendError,
    clientErrorHandler: answerClientError,
  });
  app.server.maxConnections = connections;
  app.server.maxHeadersCount = 0; // Node would drop those after the 2,000th in silence; their size is bounded
  app.server.on("connect", refuseTunnel);
  app.server.on("checkExpectation", (request, response) => app.routing(request, response)); // an unknown Expect may be ignored (RFC 9110, 10.1.1)

  // Bodies are values: bytes, never parsed. The one handler that wants a body reads it itself.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));

  app.addHook("onRequest", async (request, reply) => {
    reply.header("cache-control", "no-store");
    refuseForeign(request.raw, config.names);
  });
  app.setErrorHandler(sendError);
  app.setNotFoundHandler(async (_request, reply) => {
    const paths = "/kv /watch /status /members /ring /explain /explain-peer /metrics /healthz /readyz /admin";
    return reply.code(404).send({ error: { code: "not-found", message: `no such path; there are ${paths}` } });
  });

  const watching = watches(node, config, noteFailure);
  const hurry = promptShutdown(app.server);
  app.addHook("preClose", async () => {
    watching.endAll();
    hurry();
  });

  const { GET, PUT, DELETE } = kvHandlers(node, config);
  route(app, "/kv/*", { GET, HEAD: GET, PUT, DELETE });
  route(app, "/watch/*", { GET: watching.handler });
  if (importOld !== undefined) route(app, "/admin/import-old/:name", { POST: importHandler(importOld) });
  if (limit !== undefined) route(app, "/admin/data-limit", { POST: dataLimitHandler(limit) });
  for (const [path, handler] of Object.entries(infoHandlers(node, metrics, config))) {
    route(app, path, { GET: handler, HEAD: handler });
  }
  for (const [path, handler] of Object.entries(adminHandlers(node))) route(app, path, { POST: handler });
  route(app, "/admin/repair", { POST: repairHandler(node, noteFailure) });
  return app;

  function noteFailure(error: unknown, { method, url }: { readonly method: string; readonly url: string }): void {
    if (isBug(error)) log.error({ err: error, method, url }, "a request failed by a bug");
  }

  function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    noteFailure(error, request);
    const { status, body } = errorAnswer(error, request.method === "PUT" || request.method === "DELETE");
    reply.code(status).header("content-type", "application/json; charset=utf-8").send(body);
  }
}

type Methods = Record<string, (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>>;

/** One path with all its methods; the others are answered with the list of those (405, which the codes have no word for). */
function route(app: FastifyInstance, url: string, methods: Methods): void {
  for (const [method, handler] of Object.entries(methods)) app.route({ method, url, handler });
  const allowed = Object.keys(methods).join(", ");
  app.route({
    method: app.supportedMethods.filter((method) => !(method in methods)),
    url,
    handler: async (request, reply) => {
      const message = `${request.method} is not possible here; allowed: ${allowed}`;
      return reply
        .code(405)
        .header("allow", allowed)
        .send({ error: { code: "bad-request", message } });
    },
  });
}
