/**
 * import-old: merges what a host has set aside as an old copy of its data back into its store.
 */
import { basename } from "node:path";
import type { Command } from "commander";
import { StoreError } from "../../core/errors.ts";
import { CliError, type Io } from "./terminal.ts";
import { clientVerb, type CommonFlags, print, withClient } from "./verb.ts";

type Flags = CommonFlags & { readonly deletedMayReturn?: true };

export function addImportOldVerb(program: Command, io: Io): void {
  clientVerb(program, "import-old <name>", {
    about: "merge data that the host has set aside as an old copy: what was overwritten since stays so",
    examples: ["import-old store.old-2026-11-21T07-50-00Z --deleted-may-return"],
  })
    .option("--deleted-may-return", "do it, although values that were deleted since and forgotten come back")
    .addHelpText("after", "\nThe name, or the path, is the one that `everwrite status` shows as set aside.")
    .action((name: string, flags: Flags) => importOld(io, name, flags));
}

async function importOld(io: Io, name: string, flags: Flags): Promise<void> {
  if (flags.deletedMayReturn !== true) {
    const warning = "values that were deleted since this copy was made, and forgotten, come back";
    throw new StoreError("bad-request", `${warning}: add --deleted-may-return to do it`);
  }
  const path = `/admin/import-old/${encodeURIComponent(basename(name))}`;
  await withClient(io, flags, async (client) => {
    const done = await client.json<Imported>("POST", path, { query: { deletedMayReturn: true }, silentMs: 0 });
    print(io, flags, done, () => `${done.keys} keys imported`);
    if (done.failed > 0) throw new CliError(`${done.failed} keys are not imported (${done.reason}): import again`);
  });
}

interface Imported {
  readonly keys: number;
  readonly failed: number;
  readonly reason?: string;
}
