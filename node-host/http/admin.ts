/**
 * Changes of the ring that an operator asks for: looked at with `/admin/plan`, made with the others. Each answers with
 * what it moves; copying goes on in the background, and `/status` tells how far it is.
 */
import type { FastifyRequest } from "fastify";
import type { NodeApi, PlanView } from "../../core/api.ts";
import { StoreError } from "../../core/errors.ts";
import { flag, oneOf, someText } from "../text-values.ts";
import { idTarget, queryOf } from "./target.ts";

type Handler = (request: FastifyRequest) => Promise<PlanView>;

const changes = oneOf("join", "leave", "remove", "rebalance");
/** `ring`: only if it still is the one that a plan was made on. */
const ringOnly = { ring: someText };

export function adminHandlers(node: NodeApi): Record<string, Handler> {
  const ownId = async (): Promise<string> => (await node.status()).id;
  return {
    "/admin/plan": async ({ url }) => {
      const { change, id, force } = queryOf(url, { change: changes, id: someText, force: flag });
      if (change === undefined) throw badRequest(`change=: expected ${changes.expects}`);
      if (change === "rebalance") return node.plan({ kind: change });
      if (id === undefined && change !== "leave") throw badRequest(`${change} needs the id of the host that it is for`);
      return node.plan({ kind: change, host: id ?? (await ownId()), ...(force === true && { force }) });
    },
    "/admin/join/*": async ({ url }) =>
      node.changeRing({ kind: "join", host: idTarget(url, 2) }, queryOf(url, ringOnly)),
    "/admin/leave": async ({ url }) => node.changeRing({ kind: "leave", host: await ownId() }, queryOf(url, ringOnly)),
    "/admin/remove/*": async ({ url }) => {
      const { force = false, ...options } = queryOf(url, { ...ringOnly, force: flag });
      return node.changeRing({ kind: "remove", host: idTarget(url, 2), force }, options);
    },
    "/admin/rebalance": async ({ url }) => node.changeRing({ kind: "rebalance" }, queryOf(url, ringOnly)),
  };
}

function badRequest(message: string): StoreError {
  return new StoreError("bad-request", message);
}
