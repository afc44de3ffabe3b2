/**
 * The code base checks itself: rings, length, banned calls, dead files, loose ends.
 * The second half tries every rule on invented files, for a rule that cannot fail proves nothing.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { describe, test } from "node:test";
import { readSource, type SourceFile } from "./tools/source.ts";
import {
  bannedCalls,
  documentedExports,
  fileLength,
  importOrder,
  looseEnds,
  repeatedTestNames,
  unreached,
} from "./tools/tidy.ts";

/** Path -> why it is better in one piece. */
const longFiles = new Map<string, string>();

const sources = ["core", "node-host", "web-demo", "test"].flatMap(readFolder);
const publicEntry = "core/index.ts";

describe("the code base", () => {
  const rules: readonly (readonly [rule: string, complaints: () => string[]])[] = [
    ["imports point inward", () => importOrder(sources)],
    ["the inner core calls no clock, chance or platform", () => bannedCalls(sources)],
    ["a file fits in one head", () => fileLength(sources, longFiles)],
    ["nothing is left for later and no test is passed over", () => looseEnds(sources)],
    ["every file is reached from an entry or a test", () => unreached(sources, isEntry)],
    ["every public export says what it is", () => documentedExports(sources, publicEntry)],
    ["no two tests have one name", () => repeatedTestNames(sources)],
  ];
  for (const [rule, complaints] of rules) test(rule, () => expectNone(complaints()));

  test("the README says of each trial what it shows, as the trial does", () => {
    const readme = readFileSync("README.md", "utf8");
    const rows = sources.flatMap(({ path, text }) => {
      const name = /^test\/trials\/(.+)\.ts$/.exec(path)?.[1];
      return name === undefined ? [] : [`| \`${name}\` | ${/\bsummary:\s*"(.+)"/.exec(text)?.[1]} |`];
    });
    assert.ok(rows.length > 20);
    expectNone(rows.filter((row) => !readme.includes(row)));
  });
});

describe("a tidy rule", () => {
  test("refuses an import that points outward, and names the line", () => {
    const [complaint] = importOrder([
      invent("core/quorum/tally.ts", '// Why.\nimport type { Clock } from "../ports.ts";'),
    ]);
    assert.match(complaint ?? "", /^core\/quorum\/tally\.ts:2: imports \.\.\/ports\.ts: ring 0 must not know ring 1/);
  });

  test("refuses imports that the architecture forbids in other ways", () => {
    const crimes: readonly (readonly [from: string, specifier: string])[] = [
      ["core/coordinate/put.ts", "../edge/outbox.ts"],
      ["core/replica/replica.ts", "../index.ts"],
      ["core/replica/replica.ts", "libp2p"],
      ["core/libp2p/transport.ts", "node:net"],
      ["core/bytes/hash.ts", "../../node-host/file.ts"],
      ["node-host/http.ts", "../core/replica/replica.ts"],
      ["web-demo/cart.ts", "../node-host/index.ts"],
      ["core/utils/misc.ts", "../ports.ts"],
    ];
    for (const [from, specifier] of crimes) {
      assert.equal(
        importOrder([invent(from, `export { x } from "${specifier}";`)]).length,
        1,
        `${from} imports ${specifier}`,
      );
    }
  });

  test("allows what the architecture allows", () => {
    const allowed: readonly (readonly [from: string, specifier: string])[] = [
      ["core/merkle/tree.ts", "../config.ts"],
      ["core/node.ts", "./edge/outbox.ts"],
      ["core/bytes/hash.ts", "@noble/hashes/legacy.js"],
      ["core/libp2p/transport.ts", "../ports.ts"],
      ["node-host/storage.ts", "../core/ports.ts"],
      ["node-host/main.ts", "node:fs"],
      ["test/core/merkle.test.ts", "../../core/merkle/tree.ts"],
    ];
    for (const [from, specifier] of allowed) expectNone(importOrder([invent(from, `await import("${specifier}");`)]));
  });

  test("finds banned calls in code, and only there", () => {
    const text = "// Date.now() is banned\nconst why = `setTimeout ${Math.random()} fetch()`;\nsetTimeout(f, 1);";
    assert.deepEqual(
      bannedCalls([invent("core/node.ts", text), invent("node-host/main.ts", text)]).map(
        (each) => each.split(" in ")[0],
      ),
      ["core/node.ts:2: Math.random", "core/node.ts:3: setTimeout"],
    );
  });

  test("refuses to declare a global, but not a brand", () => {
    expectNone(bannedCalls([invent("core/identity.ts", "declare const brand: unique symbol;")]));
    assert.equal(bannedCalls([invent("core/identity.ts", "declare const now: () => number;")]).length, 1);
  });

  test("refuses a long file, and an exception that is no longer needed", () => {
    const long = invent("core/node.ts", "x;\n".repeat(401));
    assert.equal(fileLength([long], new Map()).length, 1);
    expectNone(fileLength([long], new Map([["core/node.ts", "composition"]])));
    assert.equal(fileLength([], new Map([["core/node.ts", "composition"]])).length, 1);
  });

  test("refuses work left for later and tests that are passed over", () => {
    const later = ["// TO", "DO: locks\n"].join("");
    const tests = 'test.skip("a", f); it("b", { only: true }, f); t.todo("c"); const words = "test.only";';
    assert.equal(looseEnds([invent("test/a.test.ts", later + tests)]).length, 4);
    expectNone(looseEnds([invent("core/page.ts", "page.skip(2); const todo = items;")]));
  });

  test("finds a file that no entry reaches, and follows paths in strings", () => {
    const files = [
      invent("node-host/main.ts", 'import "./a.ts"; fork(new URL("./worker.js", import.meta.url));'),
      invent("node-host/a.ts", 'export * from "./b.ts";'),
      invent("node-host/b.ts", ""),
      invent("node-host/worker.ts", ""),
      invent("node-host/dead.ts", 'import "./dead-too.ts";'),
      invent("node-host/dead-too.ts", ""),
    ];
    const dead = unreached(files, (path) => path === "node-host/main.ts").map((complaint) => complaint.split(":")[0]);
    assert.deepEqual(dead, ["node-host/dead.ts", "node-host/dead-too.ts"]);
  });

  test("refuses a public export without a doc comment, and an entry that does more than re-export by name", () => {
    const files = [
      invent(
        "core/index.ts",
        'export { Store, type Bucket as B } from "./store/store.ts";\nexport * from "./ports.ts";',
      ),
      invent("core/store/store.ts", "/** A store. */\nexport class Store {}\n\nexport interface Bucket {}\n"),
      invent("core/ports.ts", ""),
    ];
    const complaints = documentedExports(files, "core/index.ts");
    assert.equal(complaints.length, 2);
    assert.match(complaints[0] ?? "", /only re-exports by name/);
    assert.match(complaints[1] ?? "", /^core\/store\/store\.ts:4: Bucket is public/);
  });

  test("finds a test name that is used twice", () => {
    const files = [
      invent("test/a.test.ts", 'test("merging is commutative", f); test(`${rule} holds`, f);'),
      invent("test/b.test.ts", 'it("merging is commutative", f); test(`${rule} holds`, f);'),
    ];
    assert.deepEqual(repeatedTestNames(files).length, 1);
  });

  test("reads code past regular expressions, templates and divisions as a compiler does", () => {
    const text = "const quote = /[\"/'`]/g; const half = a / 2 / b; `${`${{ a: `}` }.a}`}`; call('x'); // it's";
    const file = readSource("core/node.ts", text);
    assert.equal(file.code.length, text.length);
    assert.match(file.code, /const half = a \/ 2 \/ b;/);
    assert.match(file.code, /call\(' '\);\s+$/);
    assert.equal(file.comments.trim(), "// it's");
  });
});

function expectNone(complaints: readonly string[]): void {
  assert.ok(complaints.length === 0, `\n${complaints.join("\n")}\n`);
}

function invent(path: string, text: string): SourceFile {
  return readSource(path, text);
}

function readFolder(folder: string): SourceFile[] {
  return listFolder(folder)
    .filter((path) => /\.(?:ts|tsx|mjs)$/.test(path))
    .map((path) => join(folder, path).replaceAll(sep, "/"))
    .map((path) => readSource(path, readFileSync(path, "utf8")));
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** The entries are what knip takes for entries and what a script of package.json runs. */
function isEntry(path: string): boolean {
  // Use is judged from the public API; while there is none, every module of the core is its own entry.
  if (path.startsWith("core/") && !sources.some((source) => source.path === publicEntry)) return true;
  return entryPatterns.some((pattern) => pattern.test(path)) || packageText.includes(path);
}

const packageText = readFileSync("package.json", "utf8");
const entryPatterns = (JSON.parse(readFileSync("knip.json", "utf8")) as { entry: string[] }).entry.map(globPattern);

/** The part of knip's globs that knip.json uses. */
function globPattern(glob: string): RegExp {
  const source = glob.replaceAll(/\*\*\/|\*|\.|\{(.*?)\}/g, (part, choices: string | undefined) => {
    if (choices !== undefined) return `(?:${choices.replaceAll(",", "|")})`;
    return { "**/": "(?:.+/)?", "*": "[^/]*" }[part] ?? String.raw`\.`;
  });
  return new RegExp(`^${source}$`);
}
