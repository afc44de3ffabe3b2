/**
 * `POST /admin/data-limit?bytes=N`: what this host's records may take from a moment (200 ms) on, until the process ends; without `bytes` what
 * the disk gives. Less than there is makes the host full: it keeps nothing new, reads and deletes as far as it can, and others
 * stand in for it.
 */
import type { FastifyRequest } from "fastify";
import { wholeNumber } from "../text-values.ts";
import { queryOf } from "./target.ts";

export function dataLimitHandler(limit: {
  bytesMax: number | null;
}): (request: FastifyRequest) => Promise<{ readonly bytesMax: number | null }> {
  return async ({ url }) => {
    const { bytes } = queryOf(url, { bytes: wholeNumber });
    limit.bytesMax = bytes ?? null;
    return { bytesMax: limit.bytesMax };
  };
}
