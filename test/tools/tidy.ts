/**
 * The rules that keep the code base as the README draws it. Each takes the files and returns complaints:
 * where, what, and what to do. Pure, so that the rules can be tested on invented files.
 */
import { before, importsOf, lineAt, resolveImport, type SourceFile } from "./source.ts";

type Complaint = string;

/** Ring of every place, innermost first. What is missing here has no place in the picture. */
const rings: readonly { readonly ring: number; readonly places: readonly string[] }[] = [
  {
    ring: 0,
    places: [
      "identity.ts",
      "errors.ts",
      "bytes/",
      "causality/",
      "placement/",
      "membership/",
      "quorum/",
      "merkle/",
      "values/",
    ],
  },
  { ring: 1, places: ["ports.ts", "config.ts", "api.ts", "store-node.ts", "limits.ts", "siblings.ts", "telemetry.ts"] },
  {
    ring: 2,
    places: [
      "rpc/",
      "storage/",
      "cluster/",
      "replica/",
      "coordinate/",
      "background/",
      "edge/",
      "documents/",
      "store/",
      "node.ts",
      "run.ts",
      "node-options.ts",
      "status.ts",
      "tasks.ts",
      "deadlines.ts",
      "expiries.ts",
      "index.ts",
    ],
  },
  { ring: 3, places: ["libp2p/", "react/", "browser/", "load-documents.ts"] },
].map(({ ring, places }) => ({ ring, places: places.map((place) => `core/${place}`) }));
const outside: readonly { readonly ring: number; readonly places: readonly string[] }[] = [
  { ring: 4, places: ["node-host/", "web-demo/"] },
  { ring: 5, places: ["test/"] },
];
const lastInnerRing = 2;

/** Numbers with their reasons: every ring may read them. */
const readableByAll = "core/config.ts";
/** Three ways to use one replica; only `run.ts` and `node.ts` know them all. */
const strangers = ["core/coordinate/", "core/background/", "core/edge/"];
/** What a program on the core may import: the entries, what both kinds of host share, and the contract that adapters implement. */
const openToHosts =
  /^core\/(?:index|browser\/index|react\/index|libp2p\/.*|load-documents|ports|config|errors|identity|api|store-node|telemetry|storage\/crc32c|replica\/hashed-page)\.ts$/;
const innerPackages = /^(?:yjs|y-protocols\/awareness|lib0\/.+|@noble\/hashes\/.+)$/;

const fileLinesMax = 400;

/** Would make a run depend on the machine, the moment or chance, and so break the simulator's replay. */
const banned: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\bDate\.now\b|\bnew Date\(\s*\)|\bperformance\./g, "ask the Clock port"],
  [/\bMath\.random\b|(?<![.\w])crypto\./g, "ask the Random port"],
  [/\bset(?:Timeout|Interval|Immediate)\b|\bqueueMicrotask\b/g, "use clock.after"],
  [/(?<![.\w])(?:console|process)\./g, "tell it as a StoreEvent"],
  [/(?<![.\w])(?:fetch|require)\(|\bWebSocket\b/g, "the outside world is in ports.ts"],
  [/\bBuffer\b|\bText(?:En|De)coder\b/g, "use Uint8Array and lib0/string"],
  [/\.localeCompare\(|\.toLocale\w+\(|\bIntl\./g, "nodes with other locales would decide otherwise: compare bytes"],
  [/\bWeakRef\b|\bFinalizationRegistry\b/g, "the collector's moment is chance: own what you hold"],
  [
    /\bglobalThis\b|\bdeclare\s+(?:global|function|var|let|class|const(?!\s+\w+\s*:\s*unique symbol))/g,
    "take it through a port",
  ],
];

function ringOf(path: string): number | undefined {
  return [...rings, ...outside].find(({ places }) => places.some((place) => path.startsWith(place)))?.ring;
}

/** Arrows point inward. */
export function importOrder(files: readonly SourceFile[]): Complaint[] {
  return files.flatMap((file) => {
    const ring = ringOf(file.path);
    if (ring === undefined) return [`${file.path}: has no ring; move it, or give its folder one in test/tools/tidy.ts`];
    return importsOf(file).flatMap(({ specifier, line }) => {
      const reason = forbidden(file.path, ring, specifier);
      return reason === undefined ? [] : [`${file.path}:${line}: imports ${specifier}: ${reason}`];
    });
  });
}

function forbidden(from: string, ring: number, specifier: string): string | undefined {
  const to = resolveImport(from, specifier);
  if (to === undefined) {
    if (ring <= lastInnerRing && !innerPackages.test(specifier))
      return "the inner core uses yjs, y-protocols, lib0 and @noble/hashes only";
    if (from.startsWith("core/") && specifier.startsWith("node:"))
      return "the core runs in browsers too; put it in node-host";
    return undefined;
  }
  const target = ringOf(to);
  if (target === undefined) return "has no ring; give its folder one in test/tools/tidy.ts";
  if (target > ring && to !== readableByAll)
    return `ring ${ring} must not know ring ${target}; take it as a parameter or a port`;
  if (ring <= lastInnerRing && to === "core/index.ts")
    return "the public entry is for others; import the module itself";
  if (isStranger(from, to)) return "coordinate, background and edge do not know each other; join them in run.ts";
  if (ring === 4 && to.startsWith("core/") && !openToHosts.test(to))
    return "use the public entry core/index.ts, and export from it what is missing";
  if (ring === 4 && target === 4 && topFolder(from) !== topFolder(to))
    return "node-host and web-demo do not know each other";
  return undefined;
}

function isStranger(from: string, to: string): boolean {
  const home = strangers.find((folder) => from.startsWith(folder));
  return home !== undefined && strangers.some((folder) => folder !== home && to.startsWith(folder));
}

/** The inner core has no ambient time, chance or platform. */
export function bannedCalls(files: readonly SourceFile[]): Complaint[] {
  return files
    .filter(({ path }) => (ringOf(path) ?? Infinity) <= lastInnerRing)
    .flatMap((file) =>
      banned.flatMap(([pattern, instead]) =>
        [...file.code.matchAll(pattern)].map(({ 0: call, index }) =>
          at(file, index, `${call} in the inner core: ${instead}`),
        ),
      ),
    );
}

/** A file that nobody can keep in mind is split, or listed with the reason why not. */
export function fileLength(files: readonly SourceFile[], exceptions: ReadonlyMap<string, string>): Complaint[] {
  const lines = new Map(files.map(({ path, text }) => [path, text.split("\n").length - 1]));
  const stale = [...exceptions.keys()].filter((path) => (lines.get(path) ?? 0) <= fileLinesMax);
  return [
    ...[...lines]
      .filter(([path, count]) => count > fileLinesMax && !exceptions.has(path))
      .map(([path, count]) => `${path}: ${count} lines, ${fileLinesMax} wanted: split it by concept`),
    ...stale.map((path) => `${path}: is short enough or gone: take it off the list of long files`),
  ];
}

/** Nothing is left for later, and no test is passed over. */
export function looseEnds(files: readonly SourceFile[]): Complaint[] {
  return files.flatMap((file) => [
    ...[...file.comments.matchAll(/\b(?:TODO|FIXME|XXX|HACK)\b/g)].map(({ 0: mark, index }) =>
      at(file, index, `${mark}: do it now, or open an issue and say what holds today`),
    ),
    ...[...file.code.matchAll(passedOver)]
      .filter(() => file.path.startsWith("test/"))
      .map(({ index }) => at(file, index, "passes a test over: mend it, delete it, or make it a trial")),
  ]);
}

const passedOver =
  /\b(?:t|test|it|describe|suite|context)\s*\.\s*(?:skip|only|todo)\b|\b(?:test|it|describe|suite)\(\s*["'`]\s*["'`]\s*,\s*\{[^{}]*\b(?:skip|only|todo)\b/g;

/** Every file is reached from an entry. Paths in strings count: workers and child processes are started by path. */
export function unreached(files: readonly SourceFile[], isEntry: (path: string) => boolean): Complaint[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const reached = new Set<string>();
  const waiting = files.filter(({ path }) => isEntry(path));
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (reached.has(file.path)) continue;
    reached.add(file.path);
    for (const { value } of file.strings) {
      const target = resolveImport(file.path, value);
      const found =
        target === undefined ? undefined : (byPath.get(target) ?? byPath.get(target.replace(/\.js$/, ".ts")));
      if (found !== undefined) waiting.push(found);
    }
  }
  return files
    .filter(({ path }) => !reached.has(path))
    .map(({ path }) => `${path}: no entry or test reaches it: use it, delete it, or name it as an entry in knip.json`);
}

/** The public entry re-exports by name, and what it exports says what it is. */
export function documentedExports(files: readonly SourceFile[], entryPath: string): Complaint[] {
  const entry = files.find(({ path }) => path === entryPath);
  if (entry === undefined) return [];
  const rest = entry.code.replaceAll(/export\s+(?:type\s+)?\{[^}]*\}\s*from\s*"\s*";?/g, "").trim();
  return [
    ...(rest === "" ? [] : [`${entryPath}: only re-exports by name belong here, not: ${rest.split("\n")[0]}`]),
    ...importsOf(entry).flatMap(({ specifier, line }) => {
      const target = files.find(({ path }) => path === resolveImport(entryPath, specifier));
      if (target === undefined)
        return [`${entryPath}:${line}: exports from ${specifier}, which is no file of the core`];
      return namesBefore(entry, specifier).flatMap((name) => undocumented(target, name));
    }),
  ];
}

/** The names as the exporting module knows them. */
function namesBefore(entry: SourceFile, specifier: string): string[] {
  const literal = entry.strings.find(({ value }) => value === specifier);
  const statement = /\{([^{}]*)\}\s*from\s*$/.exec(entry.code.slice(0, literal?.start ?? 0));
  return (statement?.[1] ?? "")
    .split(",")
    .map((name) =>
      name
        .trim()
        .replace(/^type\s+/, "")
        .replace(/\s+as\s+.*/s, ""),
    )
    .filter((name) => name !== "");
}

function undocumented(file: SourceFile, name: string): Complaint[] {
  const declaration = new RegExp(
    String.raw`^export\s+(?:declare\s+)?(?:abstract\s+|async\s+)?(?:class|function\*?|const|let|interface|type)\s+${name.replaceAll("$", String.raw`\$`)}(?![\w$])`,
    "m",
  ).exec(file.code);
  if (declaration === null)
    return [
      `${file.path}: does not declare ${name}, which the public API exports: export it from where it is declared`,
    ];
  if (/\*\/\s*$/.test(file.text.slice(0, declaration.index))) return [];
  return [at(file, declaration.index, `${name} is public and says nothing of itself: add a doc comment above it`)];
}

/** A name is a sentence of the specification; two tests of one name are one sentence too many. */
export function repeatedTestNames(files: readonly SourceFile[]): Complaint[] {
  const firstPlaces = new Map<string, string>();
  const complaints: Complaint[] = [];
  for (const file of files.filter(({ path }) => path.endsWith(".test.ts"))) {
    for (const { value, start } of file.strings) {
      if (!/\b(?:test|it)\(\s*$/.test(before(file, start))) continue;
      const first = firstPlaces.get(value);
      if (first === undefined) firstPlaces.set(value, `${file.path}:${lineAt(file.text, start)}`);
      else complaints.push(at(file, start, `"${value}" is also the name of the test at ${first}: say what differs`));
    }
  }
  return complaints;
}

function at(file: SourceFile, position: number, complaint: string): Complaint {
  return `${file.path}:${lineAt(file.text, position)}: ${complaint}`;
}

function topFolder(path: string): string {
  return path.slice(0, path.indexOf("/"));
}
