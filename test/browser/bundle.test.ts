/** What an application that uses Everwrite in a browser makes its users load, and its developers install. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { bundleWebRtc } from "../tools/bundle-webrtc.ts";

/** Bytes, gzipped. */
const minimalAppBytesMax = 200_000;

interface Chunk {
  /** Loaded at once, with the page. */
  readonly isFirst: boolean;
  readonly bytes: number;
  readonly modules: readonly string[];
}

async function chunksOf(page: string): Promise<Chunk[]> {
  const result = await build({
    configFile: false,
    envDir: false,
    publicDir: false,
    logLevel: "warn",
    build: {
      write: false,
      target: "esnext",
      rolldownOptions: { input: fileURLToPath(new URL(`./pages/${page}.js`, import.meta.url)) },
    },
  });
  if (!("output" in result)) throw new Error("vite built nothing");
  const chunks = result.output.filter((file) => file.type === "chunk");
  const first = new Set(chunks.filter(({ isEntry }) => isEntry).map(({ fileName }) => fileName));
  // A set goes on with what is added while it is walked.
  for (const name of first)
    for (const next of chunks.find(({ fileName }) => fileName === name)!.imports) first.add(next);
  return chunks.map(({ fileName, code, moduleIds }) => ({
    isFirst: first.has(fileName),
    bytes: gzipSync(code).length,
    modules: moduleIds,
  }));
}

function sum(chunks: readonly Chunk[]): number {
  return chunks.reduce((total, { bytes }) => total + bytes, 0);
}

describe("the bundle of a minimal application", () => {
  test("is at most 200 kB gzipped with all that an edge ever loads: other roles wait in chunks of their own", async (t) => {
    const chunks = await chunksOf("minimal");
    const first = chunks.filter(({ isFirst }) => isFirst);
    // That a page which is an edge loads none of these is seen in a real one (open-store.test.ts).
    // Nor does one without documents load those, with the application's Yjs.
    const isOfOtherRoles = ({ modules }: Chunk): boolean =>
      modules.some((id) =>
        /\/@libp2p\/(?:webrtc|circuit-relay-v2)\/|gossipsub|\/core\/(?:node|libp2p\/introduced|documents\/[a-z-]+)\.js/.test(
          id,
        ),
      );
    const edge = chunks.filter((chunk) => !isOfOtherRoles(chunk));
    t.diagnostic(
      `bytes gzipped: ${sum(first)} before the store is open, ${sum(edge)} with the network of an edge, ${sum(chunks)} in all`,
    );
    assert.ok(sum(edge) <= minimalAppBytesMax, `${sum(edge)} bytes`);
    assert.ok(edge.length < chunks.length && !first.some(isOfOtherRoles));
    const withYjs = chunks.filter(({ modules }) => modules.some((id) => /\/node_modules\/yjs\//.test(id)));
    assert.ok(withYjs.length > 0 && !edge.some((chunk) => withYjs.includes(chunk)), "Yjs waits for the first document");
    assert.deepEqual(
      first.flatMap(({ modules }) => modules.filter((id) => /\/node_modules\/(?:libp2p|@libp2p)\//.test(id))),
      [],
    );
    assert.deepEqual(
      chunks.flatMap(({ modules }) => modules.filter((id) => /react|node-datachannel|\/node-host\//.test(id))),
      [],
    );
  });
});

describe("the published WebRTC chunk", () => {
  test("imports nothing but what an application gets with Everwrite", async () => {
    const text = await bundleWebRtc();
    const { dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as { dependencies: object };
    const imported = [...text.matchAll(/^(?:import|export)\b[^"';]*"([^"]+)"/gm)].map(([, specifier]) => specifier!);
    const foreign = imported.filter(
      (specifier) => !Object.keys(dependencies).some((name) => specifier === name || specifier.startsWith(`${name}/`)),
    );
    assert.deepEqual(foreign, []);
    assert.ok(imported.includes("@libp2p/circuit-relay-v2") && !imported.includes("@libp2p/webrtc"), imported.join());
    assert.match(text, /webRtcTransport/);
  });
});

test("no react-native is installed, nor would it be by the lock file, nor a second WebRTC and LevelDB for Node", () => {
  const packages = readdirSync("node_modules");
  assert.ok(!packages.includes("react-native"));
  if (existsSync("node_modules/react-native-webrtc")) {
    const { name } = JSON.parse(readFileSync("node_modules/react-native-webrtc/package.json", "utf8")) as {
      name: string;
    };
    assert.equal(name, "empty-npm-package");
  }
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
    packages: Record<string, { name?: string; dependencies?: Record<string, string> }>;
  };
  for (const [path, { name }] of Object.entries(lock.packages)) {
    const installed = name ?? path.replace(/^.*node_modules\//, "");
    assert.doesNotMatch(installed, /^(?:@?react-native|@?node-datachannel|leveldown)/);
  }
});
