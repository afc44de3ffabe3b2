/**
 * Values that people write as text: in a query string, a flag, an environment variable, a config file.
 * One description serves all four, so that they cannot disagree about what is valid.
 */
import type { QuorumSpec } from "../core/config.ts";

export interface TextValue<T> {
  /** Completes the sentence "expected …". */
  readonly expects: string;
  /** Undefined: not such a value. */
  parse(text: string): T | undefined;
}

export const quorumSpec: TextValue<QuorumSpec> = {
  expects: "one, quorum, all or a positive integer",
  parse: (text) => (text === "one" || text === "quorum" || text === "all" ? text : positive(text)),
};

export const flag: TextValue<boolean> = {
  expects: "1 or 0",
  parse: (text) => (text === "1" || text === "true" ? true : text === "0" || text === "false" ? false : undefined),
};

export const anyText: TextValue<string> = { expects: "text", parse: (text) => text };

export const someText: TextValue<string> = { expects: "a text that is not empty", parse: (text) => text || undefined };

export function integerUpTo(max: number): TextValue<number> {
  return {
    expects: `an integer from 1 to ${max}`,
    parse(text) {
      const number = positive(text);
      return number !== undefined && number <= max ? number : undefined;
    },
  };
}

export function atLeast(min: number): TextValue<number> {
  return {
    expects: `a whole number from ${min} on`,
    parse(text) {
      const number = positive(text);
      return number !== undefined && number >= min ? number : undefined;
    },
  };
}

export function oneOf<const Names extends readonly string[]>(...names: Names): TextValue<Names[number]> {
  return { expects: `one of ${names.join(", ")}`, parse: (text) => names.find((name) => name === text) };
}

export const wholeNumber: TextValue<number> = {
  expects: "a whole number",
  parse: (text) => (text === "0" ? 0 : positive(text)),
};

/** Plain decimal digits only: `Number()` would also take "1e3", "0x2", " 2" and "". */
function positive(text: string): number | undefined {
  if (!/^[1-9][0-9]{0,15}$/.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}
