/**
 * What every client verb has in common: `--http`, `--json`, an example, checked option values.
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { TextValue } from "../text-values.ts";
import { defaultUrl, HttpClient } from "./client.ts";
import type { Io } from "./terminal.ts";

export interface CommonFlags {
  readonly http?: string;
  readonly json?: true;
}

interface VerbDescription {
  readonly about: string;
  readonly examples: readonly string[];
}

export function clientVerb(program: Command, usage: string, { about, examples }: VerbDescription): Command {
  return program
    .command(usage)
    .description(about)
    .option("--http <url>", `the host to ask (default: $EVERWRITE_HTTP or ${defaultUrl})`)
    .option("--json", "print JSON, for programs")
    .addHelpText("after", `\nExample:\n${examples.map((example) => `  $ everwrite ${example}`).join("\n")}`);
}

/** An option whose value is checked before anything is sent. */
export function checkedOption<T>(flags: string, about: string, value: TextValue<T>): Option {
  return new Option(flags, about).argParser((text) => {
    const parsed = value.parse(text);
    if (parsed === undefined) throw new InvalidArgumentError(`Expected ${value.expects}.`);
    return parsed;
  });
}

/** Runs with a client of the host that was named, and closes it. */
export async function withClient<T>(
  io: Io,
  flags: CommonFlags,
  run: (client: HttpClient) => Promise<T>,
  connections?: number,
): Promise<T> {
  const url = flags.http ?? (io.env["EVERWRITE_HTTP"] || defaultUrl); // an empty variable is how some unset one
  const client = new HttpClient(url, connections === undefined ? {} : { connections });
  try {
    return await run(client);
  } finally {
    client.close();
  }
}

/** JSON for programs, else the sentences for people. */
export function print(io: Io, flags: CommonFlags, answer: unknown, text: () => string): void {
  io.stdout.write(`${flags.json ? JSON.stringify(answer) : text()}\n`);
}
