/**
 * What people and programs read of the command line: tables, short forms, colours only where they are wanted.
 */
import { styleText } from "node:util";

/** The streams and settings of one run; `process` is one. */
export interface Io {
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Output {
  write(text: string | Uint8Array): unknown;
  readonly isTTY?: boolean;
}

/** An expected failure that is not the store's: exit code 1 and one sentence. */
export class CliError extends Error {
  override readonly name = "CliError";
}

export type Style = "bold" | "dim" | "green" | "yellow" | "red";

export function styled({ stdout, env }: Io, style: Style, text: string): string {
  return stdout.isTTY && !env["NO_COLOR"] ? styleText(style, text, { validateStream: false }) : text;
}

/** Columns of equal width, two spaces apart; numbers to the right. The first row is the heading. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const [heading = []] = rows;
  // Zones and addresses are what other hosts say.
  const columns = heading.map((_, column) => rows.map((row) => printableName(String(row[column] ?? ""))));
  const padded = columns.map((cells, column) => {
    const width = Math.max(...cells.map((cell) => cell.length));
    const isNumber = rows.slice(1).every((row) => typeof row[column] === "number") && rows.length > 1;
    return cells.map((cell) => (isNumber ? cell.padStart(width) : cell.padEnd(width)));
  });
  return rows
    .map((_, row) =>
      padded
        .map((cells) => cells[row])
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** The end of a peer id tells nodes apart; its beginning is the same for all. */
export function shortId(id: string): string {
  return id.length > 12 ? `…${id.slice(-8)}` : id;
}

export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return `${power === 0 ? bytes : (bytes / 1_024 ** power).toFixed(1)} ${units[power]}`;
}

export function durationText(ms: number): string {
  const steps = [
    [86_400_000, "d"],
    [3_600_000, "h"],
    [60_000, "min"],
    [1_000, "s"],
  ] as const;
  const [size, unit] = steps.find(([step]) => ms >= step) ?? [1, "ms"];
  return `${Math.floor(ms / size)} ${unit}`;
}

/** A stored value may hold escape sequences that take a terminal over; shown this way it is only text. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this is about
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** A name of somebody's choice, kept to its line. */
export function printableName(name: string): string {
  return printable(name).replaceAll("\n", "\\x0a");
}

export async function readAll(input: AsyncIterable<Uint8Array | string>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of input) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
