/**
 * What a node tells of itself: for people, for load balancers, for Prometheus.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { NodeApi } from "../../core/api.ts";
import { StoreError } from "../../core/errors.ts";
import type { Metrics } from "../metrics.ts";
import type { HttpConfig } from "./server.ts";
import { idTarget, oneKeyTarget, queryOf } from "./target.ts";

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

export function infoHandlers(node: NodeApi, metrics: Metrics, config: HttpConfig): Record<string, Handler> {
  const handlers: Record<string, Handler> = {
    "/status": () => node.status(),
    "/members": async () => {
      const { id, ring, members } = await node.status();
      return { id, ring, members };
    },
    "/ring": async () => node.ring(),
    "/explain/*": ({ url }) => {
      const { bucket, name } = oneKeyTarget(url, config.keyBytesMax);
      return node.explain(bucket, name);
    },
    "/explain-peer/*": async ({ url }) => node.explainPeer(idTarget(url, 1)),
    "/metrics": async (_, reply) => reply.header("content-type", metrics.contentType).send(await metrics.scrape(node)),
    /** Alive: restart the process when this fails. */
    "/healthz": async () => ({ ok: true }),
    /** Of use to clients: send none when this fails. */
    "/readyz": async () => {
      const { ready, notices } = await node.status();
      if (!ready) throw new StoreError("not-ready", notices.join("; ") || "this node is still starting");
      return { ready };
    },
  };
  const checked = ([path, handler]: [string, Handler]): [string, Handler] => [
    path,
    async (request, reply) => {
      queryOf(request.url, {}); // none of them takes parameters
      return handler(request, reply);
    },
  ];
  return Object.fromEntries(Object.entries(handlers).map(checked));
}
