/**
 * `POST /admin/import-old/NAME?deletedMayReturn=1`: what was set aside as an old copy, merged into the store.
 * Refused without the parameter, with the reason to think twice.
 */
import type { FastifyRequest } from "fastify";
import { StoreError } from "../../core/errors.ts";
import { flag } from "../text-values.ts";
import { queryOf } from "./target.ts";

export function importHandler(
  importOld: (name: string) => Promise<unknown>,
): (request: FastifyRequest) => Promise<unknown> {
  return async ({ url, params }) => {
    const { deletedMayReturn } = queryOf(url, { deletedMayReturn: flag });
    if (deletedMayReturn !== true) {
      const warning =
        "values that were deleted since this copy was made, and forgotten, come back: add deletedMayReturn=1 to do it";
      throw new StoreError("bad-request", warning);
    }
    return importOld((params as { readonly name: string }).name);
  };
}
