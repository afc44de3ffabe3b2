/**
 * put, get, delete, list.
 */
import { readFile, writeFile } from "node:fs/promises";
import type { Command } from "commander";
import type { ListAnswer, Receipt } from "../../core/api.ts";
import { StoreError } from "../../core/errors.ts";
import { integerUpTo, oneOf, quorumSpec } from "../text-values.ts";
import { bucketPath, errorOf, type HttpClient, jsonOf, keyPath } from "./client.ts";
import { type ReadJson, siblingBytes, siblingsText } from "./siblings.ts";
import { CliError, type Io, printableName, readAll, shortId, styled } from "./terminal.ts";
import { checkedOption, clientVerb, type CommonFlags, print, withClient } from "./verb.ts";

interface WriteFlags extends CommonFlags {
  readonly context?: string;
  readonly w?: number | string;
  readonly writeId?: string;
  readonly timeoutMs?: number;
}

interface PutFlags extends WriteFlags {
  readonly file?: string;
  readonly contentType?: string;
  readonly kind?: string;
  readonly ttlMs?: number;
  readonly ifAbsent?: true;
}

interface GetFlags extends CommonFlags {
  readonly r?: number | string;
  readonly timeoutMs?: number;
  readonly local?: true;
  readonly raw?: true;
  readonly out?: string;
}

interface ListFlags extends CommonFlags {
  readonly prefix?: string;
  readonly limit?: number;
  readonly after?: string;
  readonly timeoutMs?: number;
}

interface WriteJson {
  readonly context: string | null;
  readonly receipt: Receipt;
}

const timeoutOption = checkedOption("--timeout-ms <ms>", "how long the host may try", integerUpTo(300_000));

export function addKvVerbs(program: Command, io: Io): void {
  const put = clientVerb(program, "put", {
    about: "store a value; without --context it stands beside what is there, as a sibling",
    examples: [
      "put carts/alice '[\"book\"]' --content-type application/json",
      "put pictures/cat --file cat.png --w all",
    ],
  });
  withWriteOptions(put.argument("<bucket/key>").argument("[value]", "the value as text, or - for standard input"))
    .option("--file <file>", "take the value from a file")
    .option("--content-type <type>", "default: text/plain for a VALUE, else application/octet-stream")
    .addOption(
      checkedOption("--kind <kind>", "how conflicts resolve: opaque, lww or yjs", oneOf("opaque", "lww", "yjs")),
    )
    .addOption(
      checkedOption("--ttl-ms <ms>", "the value expires after this time", integerUpTo(Number.MAX_SAFE_INTEGER)),
    )
    .option("--if-absent", "only if there is no value yet (best effort)")
    .action((key: string, value: string | undefined, flags: PutFlags) =>
      withClient(io, flags, (c) => runPut(io, c, key, value, flags)),
    );

  clientVerb(program, "get", {
    about: "print a value; several concurrent ones are all shown",
    examples: ["get carts/alice", "get carts/alice --json --r all", "get pictures/cat --out cat.png"],
  })
    .argument("<bucket/key>")
    .addOption(checkedOption("--r <r>", "copies that must answer: one, quorum, all or a number", quorumSpec))
    .addOption(timeoutOption)
    .option("--local", "what this host's own replica holds, without asking others")
    .option("--raw", "the exact bytes and nothing else; fails where there are several values")
    .option("--out <file>", "write the exact bytes to a file")
    .action((key: string, flags: GetFlags) => withClient(io, flags, (client) => runGet(io, client, key, flags)));

  const remove = clientVerb(program, "delete", {
    about: "delete what --context has seen, or else what a read finds now",
    examples: ["delete carts/alice"],
  });
  withWriteOptions(remove.argument("<bucket/key>")).action((key: string, flags: WriteFlags) =>
    withClient(io, flags, (client) => runDelete(io, client, key, flags)),
  );

  clientVerb(program, "list", {
    about: "list the keys of a bucket, in no order that means anything; asks many hosts, so use it sparingly",
    examples: ["list carts --prefix al --limit 100"],
  })
    .argument("<bucket>")
    .option("--prefix <prefix>", "only keys that begin so")
    .addOption(checkedOption("--limit <n>", "keys at most", integerUpTo(10_000)))
    .option("--after <cursor>", "go on where the page before ended")
    .addOption(timeoutOption)
    .action((bucket: string, flags: ListFlags) =>
      withClient(io, flags, async (client) => {
        const { prefix, limit, after, timeoutMs } = flags;
        const page = await client.json<ListAnswer>("GET", bucketPath("/kv", bucket), {
          query: { prefix, limit, after, timeoutMs },
        });
        if (flags.json || page.keys.length > 0) print(io, flags, page, () => page.keys.map(printableName).join("\n"));
        if (!flags.json && page.next !== null)
          io.stderr.write(`there are more: add --after '${printableName(page.next)}'\n`);
      }),
    );
}

function withWriteOptions(command: Command): Command {
  return command
    .option("--context <context>", "what was read before: the values that this write replaces")
    .addOption(checkedOption("--w <w>", "copies that must be durable: one, quorum, all or a number", quorumSpec))
    .option("--write-id <hex>", "16 hex digits: a repeat under the same id is the same event")
    .addOption(timeoutOption);
}

async function runPut(
  io: Io,
  client: HttpClient,
  key: string,
  value: string | undefined,
  flags: PutFlags,
): Promise<void> {
  const path = keyPath("/kv", key);
  if ((value === undefined) === (flags.file === undefined)) {
    throw new StoreError("bad-request", "give the value either as VALUE (- for standard input) or with --file");
  }
  const body = await bodyOf(io, value, flags.file);
  const isText = value !== undefined && value !== "-";
  const contentType = flags.contentType ?? (isText ? "text/plain; charset=utf-8" : "application/octet-stream");
  const { w, timeoutMs, ttlMs, ifAbsent } = flags;
  const headers = {
    ...causeHeaders(flags),
    "content-type": contentType,
    ...(flags.kind && { "everwrite-kind": flags.kind }),
  };
  const answer = await client.json<WriteJson>("PUT", path, { body, headers, query: { w, timeoutMs, ttlMs, ifAbsent } });
  print(io, flags, answer, () => writeText(io, `stored ${key}`, key, answer));
}

async function bodyOf(io: Io, value: string | undefined, file: string | undefined): Promise<Buffer> {
  if (value === "-") return readAll(io.stdin);
  if (file === undefined) return Buffer.from(value ?? "");
  try {
    return await readFile(file);
  } catch (cause) {
    throw new CliError(`cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
}

async function runGet(io: Io, client: HttpClient, key: string, flags: GetFlags): Promise<void> {
  const { r, timeoutMs, local } = flags;
  const headers = { accept: "application/json" };
  const answer = await client.call("GET", keyPath("/kv", key), { headers, query: { r, timeoutMs, local } });
  if (answer.status !== 200) {
    // An absent key has a context too, which programs need to write it anew.
    if (flags.json && answer.status === 404) io.stdout.write(`${answer.body.toString()}\n`);
    throw errorOf(answer);
  }
  const read = jsonOf<ReadJson>(answer);
  const [first, ...others] = read.siblings;
  if (flags.json || first === undefined) {
    io.stdout.write(`${JSON.stringify(read)}\n`);
    return;
  }
  if (others.length > 0) {
    if (flags.raw || flags.out)
      throw new CliError(`${key} has ${read.siblings.length} values: get it without --raw or --out`);
    io.stdout.write(siblingsText(io, key, read));
    return;
  }
  const bytes = siblingBytes(first);
  if (flags.out !== undefined) await writeOut(flags.out, bytes);
  else io.stdout.write(bytes);
  // A prompt right behind the value is hard to read; in a pipe every byte counts.
  if (flags.out === undefined && !flags.raw && io.stdout.isTTY && bytes.at(-1) !== 0x0a) io.stdout.write("\n");
  for (const note of notesOf(read)) io.stderr.write(`${note}\n`);
}

async function writeOut(file: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(file, bytes);
  } catch (cause) {
    throw new CliError(`cannot write ${file}: ${(cause as Error).message}`, { cause });
  }
}

function notesOf({ deleted, degraded, holding }: ReadJson): string[] {
  return [
    deleted && "note: a delete is beside this value, of somebody who had not seen it",
    degraded && "note: too few owners answered; newer values may exist",
    holding && `note: this replica's holding is ${holding}`,
  ].filter((note) => typeof note === "string");
}

/** Without a context a delete would leave the values it did not see, which is not what one means by hand. */
async function runDelete(io: Io, client: HttpClient, key: string, flags: WriteFlags): Promise<void> {
  const path = keyPath("/kv", key);
  const { w, timeoutMs } = flags;
  let { context } = flags;
  if (context === undefined) {
    const read = await client.call("GET", path, { headers: { accept: "application/json" }, query: { timeoutMs } });
    if (read.status !== 200) throw errorOf(read);
    context = jsonOf<ReadJson>(read).context ?? undefined;
  }
  const headers = causeHeaders({ ...flags, ...(context !== undefined && { context }) });
  const answer = await client.json<WriteJson>("DELETE", path, { headers, query: { w, timeoutMs } });
  print(io, flags, answer, () => writeText(io, `deleted ${key}`, key, answer));
}

function causeHeaders({ context, writeId }: WriteFlags): Record<string, string> {
  return {
    ...(context !== undefined && { "everwrite-context": context }),
    ...(writeId !== undefined && { "everwrite-write-id": writeId }),
  };
}

function writeText(io: Io, done: string, key: string, { context, receipt }: WriteJson): string {
  const { needed, got, durable, hinted } = receipt;
  const where = durable.map(shortId).join(", ");
  const standIns = hinted.map(({ for: owner, at }) => `${shortId(at)} stands in for ${shortId(owner)}`);
  return [
    styled(io, "green", done) + `: ${got} durable ${got === 1 ? "copy" : "copies"}, ${needed} needed (${where})`,
    ...standIns,
    context === null
      ? `other values are live beside this one: see them with \`everwrite get ${key}\``
      : styled(io, "dim", `context ${context}`),
  ].join("\n");
}
