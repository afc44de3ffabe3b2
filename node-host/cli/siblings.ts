/**
 * A read's siblings as people see them, with what to do about several.
 */
import { bytesText, type Io, printable, styled } from "./terminal.ts";

/** The JSON of a read, as INTERFACES fixes it. */
export interface ReadJson {
  readonly siblings: readonly SiblingJson[];
  readonly context: string | null;
  readonly deleted?: true;
  readonly degraded?: true;
  readonly holding?: string;
}

export interface SiblingJson {
  readonly value: string;
  readonly encoding: "utf8" | "base64";
  readonly contentType: string;
  readonly time: string;
  readonly dot: string;
}

const PREVIEW_CHARACTERS_MAX = 400;

export function siblingBytes({ value, encoding }: SiblingJson): Buffer {
  return Buffer.from(value, encoding);
}

export function siblingsText(io: Io, key: string, { siblings, context, deleted, degraded }: ReadJson): string {
  const values = siblings.map((sibling, index) => {
    const { time, contentType, dot } = sibling;
    const size = bytesText(siblingBytes(sibling).length);
    const heading = `${index + 1}. ${time}  ${printable(contentType)}  ${size}`;
    return `${styled(io, "bold", heading)}  ${styled(io, "dim", dot)}\n${preview(sibling)}`;
  });
  return [
    `${key} has ${siblings.length} values that were written without knowing of each other:\n`,
    ...values,
    deleted && "\nA delete is beside them, of somebody who had not seen them.",
    degraded && "\nToo few owners answered; newer values may exist.",
    "\nTo make it one again, write what it should be with the context of this read:",
    `  everwrite put ${key} VALUE --context ${context}\n`,
  ]
    .filter((part) => typeof part === "string")
    .join("\n");
}

export function preview(sibling: SiblingJson): string {
  const { value, encoding } = sibling;
  if (encoding === "base64") return `   (${bytesText(siblingBytes(sibling).length)} that are not text)`;
  const text = printable(value.slice(0, PREVIEW_CHARACTERS_MAX)).replaceAll("\n", "\n   ");
  return `   ${text}${value.length > PREVIEW_CHARACTERS_MAX ? " …" : ""}`;
}
