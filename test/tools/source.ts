/**
 * What the tidy rules need to know of a source file, without a parser.
 * Invariant: `code` and `comments` have the length and the line breaks of `text`, so a position means the same in all.
 */
import { posix } from "node:path";

interface StringLiteral {
  readonly value: string;
  /** Where its opening quote stands. */
  readonly start: number;
}

export interface SourceFile {
  /** From the repository's root, with `/`. */
  readonly path: string;
  readonly text: string;
  /** Blanks instead of comments, and between the quotes of strings. */
  readonly code: string;
  /** Blanks instead of all but comments. */
  readonly comments: string;
  readonly strings: readonly StringLiteral[];
}

export interface Import {
  readonly specifier: string;
  readonly line: number;
}

const tokens = {
  comment: /\/\/[^\n]*|\/\*[\s\S]*?\*\//y,
  string: /"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*'/y,
  // From a backtick, or from the brace that ends `${…`, to the next of either.
  template: /[`}](?:[^`\\$]|\\[\s\S]|\$(?!\{))*(?:`|\$\{)/y,
  regex: /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y,
  word: /[\w$]+/y,
};
/** After one of these a slash begins a regular expression; after anything else it divides. */
const beforeRegex = /^(?:[^\w$)\]}"'`]|return|case|typeof|await|)$/;

export function readSource(path: string, text: string): SourceFile {
  const strings: StringLiteral[] = [];
  const code = blank(text).split("");
  const comments = blank(text).split("");
  /** For each open `${`, how many braces are open inside it. */
  const templates: number[] = [];
  let previous = "";

  const match = (kind: keyof typeof tokens, at: number): string | undefined => {
    tokens[kind].lastIndex = at;
    return tokens[kind].exec(text)?.[0];
  };
  const copy = (target: string[], from: number, to: number): void => {
    for (let at = from; at < to; at += 1) target[at] = text.charAt(at);
  };

  for (let at = 0; at < text.length;) {
    const char = text.charAt(at);
    const comment = match("comment", at);
    if (comment !== undefined) {
      copy(comments, at, at + comment.length);
      at += comment.length;
      continue;
    }

    const endsHole = char === "}" && templates.at(-1) === 0;
    const template = char === "`" || endsHole ? match("template", at) : undefined;
    const quoted = template ?? match("string", at) ?? (beforeRegex.test(previous) ? match("regex", at) : undefined);
    if (quoted !== undefined) {
      const end = at + quoted.length;
      if (template !== undefined) trackTemplate(template, templates);
      else copy(code, end - 1, end);
      if (char !== "}" && !quoted.endsWith("${")) strings.push({ value: quoted.slice(1, -1), start: at });
      copy(code, at, at + 1);
      previous = quoted.endsWith("${") ? "{" : '"';
      at = end;
      continue;
    }

    const word = match("word", at) ?? char;
    if (templates.length > 0 && (char === "{" || char === "}")) {
      templates.push((templates.pop() ?? 0) + (char === "{" ? 1 : -1));
    }
    copy(code, at, at + word.length);
    if (word.trim() !== "") previous = word;
    at += word.length;
  }
  return { path, text, code: code.join(""), comments: comments.join(""), strings };
}

/** Static, dynamic and re-exporting imports. */
export function importsOf(file: SourceFile): Import[] {
  return file.strings
    .filter(({ start }) => /\b(?:from|import|import\s*\()\s*$/.test(before(file, start)))
    .map(({ value, start }) => ({ specifier: value, line: lineAt(file.text, start) }));
}

/** The path that a relative specifier means, as the source names it: built code says `.js`. */
export function resolveImport(from: string, specifier: string): string | undefined {
  if (!/^\.{1,2}\//.test(specifier)) return undefined;
  return posix.join(posix.dirname(from), specifier);
}

/** The code that leads to a position. */
export function before(file: SourceFile, position: number): string {
  return file.code.slice(Math.max(0, position - 80), position);
}

export function lineAt(text: string, position: number): number {
  return text.slice(0, position).split("\n").length;
}

function blank(text: string): string {
  return text.replaceAll(/[^\n]/g, " ");
}

function trackTemplate(token: string, templates: number[]): void {
  if (token.startsWith("}")) templates.pop();
  if (token.endsWith("${")) templates.push(0);
}
