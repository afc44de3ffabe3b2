/**
 * repair: makes the host's partitions equal to those of their other owners, and mends damaged records.
 */
import type { Command } from "commander";
import type { RepairProgress } from "../../core/api.ts";
import { wholeNumber } from "../text-values.ts";
import { errorOf, type HttpClient } from "./client.ts";
import { bytesText, CliError, durationText, type Io, readAll } from "./terminal.ts";
import { checkedOption, clientVerb, type CommonFlags, print, withClient } from "./verb.ts";

type Flags = CommonFlags & { readonly partition?: number };

export function addRepairVerb(program: Command, io: Io): void {
  clientVerb(program, "repair", {
    about: "compare the host's partitions with their other owners until they are equal, and mend damaged records",
    examples: ["repair", "repair --partition 17", "repair --json"],
  })
    .addOption(checkedOption("--partition <number>", "only this one (default: all that the host owns)", wholeNumber))
    .action((flags: Flags) => withClient(io, flags, (client) => runRepair(io, client, flags)));
}

async function runRepair(io: Io, client: HttpClient, flags: Flags): Promise<void> {
  const { partition } = flags;
  const answer = await client.open("POST", "/admin/repair", { query: { partition }, silentMs: 0 });
  if (answer.status !== 200) throw errorOf({ ...answer, body: await readAll(answer.body) });
  const shown = io.stderr.isTTY === true && flags.json === undefined;
  let last: RepairProgress | undefined;
  for await (const line of lines(answer.body)) {
    const step = JSON.parse(line) as RepairProgress | { readonly error: object };
    if ("error" in step) throw errorOf({ status: 200, headers: {}, body: Buffer.from(line) });
    last = step;
    if (shown) io.stderr.write(`\r\u001b[K${progressText(step)}`);
  }
  if (shown) io.stderr.write("\r\u001b[K");
  if (last === undefined || last.done < last.total) throw new CliError("the host ended the repair: is it stopping?");
  const result = last;
  print(io, flags, result, () => resultText(result));
  if (result.unequal > 0) throw new CliError(`${result.unequal} of ${result.total} partitions are not repaired yet`);
}

async function* lines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const utf8 = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += utf8.decode(chunk, { stream: true });
    const whole = text.split("\n");
    text = whole.pop() ?? "";
    yield* whole;
  }
}

function progressText(step: RepairProgress): string {
  const left = step.msLeft === null ? "" : `, ${durationText(step.msLeft)} left`;
  const at = step.checked < step.total ? `records of partition ${step.checked}` : `partition ${step.done}`;
  return `${at} of ${step.total}: ${countsText(step)}${left}`;
}

function resultText(result: RepairProgress): string {
  const { total, unequal, ms, damagedFiles, problems } = result;
  return [
    `${total - unequal} of ${total} partitions equal to their other owners after ${durationText(ms)}: ${countsText(result)}`,
    ...damagedFiles.map((file) => `damaged file: ${file}`),
    ...problems,
  ].join("\n");
}

function countsText({ keysPushed, keysPulled, bytes, damagedFound, damagedHealed }: RepairProgress): string {
  const keys = `${keysPulled} keys repaired here and ${keysPushed} elsewhere (${bytesText(bytes)})`;
  return `${keys}, ${damagedFound} damaged found, ${damagedHealed} healed`;
}
