/**
 * How a program is told what to do: flags, then EVERWRITE_* variables, then the config file, then defaults.
 * One table describes every setting for all four; what is not in it is refused.
 */
import { readFileSync } from "node:fs";
import { multiaddr } from "@multiformats/multiaddr";
import { StoreError } from "../core/errors.ts";
import type { TextValue } from "./text-values.ts";

export interface Setting<T> {
  /** How help shows the value. */
  readonly placeholder: string;
  readonly about: string;
  readonly initial: T;
  /** May be given several times. */
  readonly many: boolean;
  /** Throws `bad-request` that begins with `origin`. */
  readonly read: (texts: readonly string[], origin: string) => T;
}

/** What a table describes. */
export type Settings<Options> = { readonly [Name in keyof Options]: Setting<Options[Name]> };

/** What the command line gave; a flag that was repeated is a list. */
export type Flags<Options> = { readonly [Name in keyof Options | "config"]?: string | readonly string[] };

/** Throws `bad-request` with a sentence that names the flag, variable or key at fault. */
export function readSettings<Options extends object>(
  settings: Settings<Options>,
  flags: Flags<Options>,
  env: Readonly<Record<string, string | undefined>>,
): Options {
  const names = Object.keys(settings) as (keyof Options & string)[];
  const file = flags.config?.toString() ?? env["EVERWRITE_CONFIG"];
  const config = file === undefined ? {} : readConfig(file, names);
  const chosen = names.map((name) => {
    const { many, initial, read } = settings[name] as Setting<unknown>;
    const fromFlag = flags[name];
    if (fromFlag !== undefined) return [name, read([fromFlag].flat(), `--${kebab(name)}`)];
    const variable = `EVERWRITE_${kebab(name).replaceAll("-", "_").toUpperCase()}`;
    const fromEnv = env[variable];
    if (fromEnv !== undefined)
      return [name, read(many ? fromEnv.split(/[\s,]+/).filter(Boolean) : [fromEnv], variable)];
    const fromFile = config[name];
    if (fromFile !== undefined) return [name, read(textsOf(fromFile, name), `"${name}" in ${file}`)];
    return [name, initial];
  });
  return Object.fromEntries(chosen) as Options; // every name has a value of its own setting's reader
}

export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function readConfig(file: string, names: readonly string[]): Readonly<Record<string, unknown>> {
  let config: unknown;
  try {
    config = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw badRequest(`the config file ${file} cannot be read: ${(cause as Error).message}`);
  }
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw badRequest(`the config file ${file} must hold a JSON object`);
  }
  const unknown = Object.keys(config).filter((key) => !names.includes(key));
  if (unknown.length > 0) throw badRequest(`${file}: unknown ${unknown.join(", ")}; known are ${names.join(", ")}`);
  return config as Record<string, unknown>;
}

function textsOf(value: unknown, name: string): string[] {
  return [value].flat().map((part) => {
    if (["string", "number", "boolean"].includes(typeof part)) return String(part);
    throw badRequest(`"${name}" in the config file must be a text, a number, true or false, or a list of them`);
  });
}

export function one<T>(placeholder: string, value: TextValue<T>, initial: NoInfer<T>, about: string): Setting<T> {
  const read = (texts: readonly string[], origin: string): T => {
    const [text = "", ...more] = texts;
    if (more.length > 0) throw badRequest(`${origin} is given ${texts.length} times, but takes one value`);
    return parse(value, text, origin);
  };
  return { placeholder, about, initial, many: false, read };
}

export function several<T>(
  placeholder: string,
  value: TextValue<T>,
  initial: readonly T[],
  about: string,
): Setting<readonly T[]> {
  const read = (texts: readonly string[], origin: string): T[] => texts.map((text) => parse(value, text, origin));
  return { placeholder, about, initial, many: true, read };
}

function parse<T>(value: TextValue<T>, text: string, origin: string): T {
  const parsed = value.parse(text);
  if (parsed === undefined) throw badRequest(`${origin}: "${text}" is not ${value.expects}`);
  return parsed;
}

export function badRequest(message: string): StoreError {
  return new StoreError("bad-request", message);
}

export const multiaddrText: TextValue<string> = {
  expects: "a multiaddr such as /ip4/127.0.0.1/tcp/4001",
  parse(text) {
    try {
      return multiaddr(text).toString();
    } catch {
      return undefined;
    }
  },
};
