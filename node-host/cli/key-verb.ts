/**
 * key new: a node key in a file, made before the host that will have it.
 */
import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { CliError, type Io } from "./terminal.ts";

export function addKeyVerb(program: Command, io: Io): void {
  program
    .command("key")
    .description("node keys")
    .command("new")
    .description("make a node key, for `everwrite host --identity FILE`; a file that exists is left alone")
    .argument("[file]", "where to write it", "everwrite.key")
    .option("--json", "print JSON, for programs")
    .addHelpText("after", "\nExample:\n  $ everwrite key new /etc/everwrite/host.key")
    .action(async (file: string, flags: { json?: true }) => {
      const id = await writeNewKey(file);
      io.stdout.write(flags.json ? `${JSON.stringify({ id, file })}\n` : `${file}: key of the new node ${id}\n`);
    });
}

async function writeNewKey(file: string): Promise<string> {
  // libp2p takes a moment to load, and no other client verb needs it.
  const { generateKeyPair, privateKeyToProtobuf } = await import("@libp2p/crypto/keys");
  const { peerIdFromPrivateKey } = await import("@libp2p/peer-id");
  const key = await generateKeyPair("Ed25519");
  try {
    await writeFile(file, privateKeyToProtobuf(key), { flag: "wx", mode: 0o600, flush: true });
  } catch (cause) {
    const reason =
      (cause as NodeJS.ErrnoException).code === "EEXIST"
        ? "it exists, and a key is never replaced"
        : (cause as Error).message;
    throw new CliError(`cannot write ${file}: ${reason}`, { cause });
  }
  return peerIdFromPrivateKey(key).toString();
}
