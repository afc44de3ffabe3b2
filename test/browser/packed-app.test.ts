/** The package as a web application gets it: packed, installed in a fresh folder, compiled with its types, built by Vite, run. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build, preview } from "vite";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { kv } from "../support/http-client.ts";
import { compile, installedIn, installPacked, readmeProgram } from "../support/packed-app.ts";
import { pageHosts } from "../support/page-hosts.ts";
import { bundleWebRtc } from "../tools/bundle-webrtc.ts";
import { launchChromium } from "./chromium.ts";

const seed = "/dns4/host.example/tcp/443/wss";
const html = `<!doctype html><title>app</title><link rel="icon" href="data:,"><body></body><script type="module" src="app.ts"></script>`;
const types = [
  "--module",
  "esnext",
  "--moduleResolution",
  "bundler",
  "--lib",
  "es2023,esnext.disposable,dom,dom.iterable",
];

test("the README's program compiles against the packed package, is built by Vite, and its data is at the hosts", async (t) => {
  const folder = join(dirname(temporaryDirectory()), "app");
  await mkdir(folder, { recursive: true });
  await installPacked(folder);
  const unwanted = (await installedIn(folder)).filter((name) => /^@?react-native|node-datachannel/.test(name));
  assert.deepEqual(unwanted, []);
  // What `prepack` does.
  await writeFile(join(folder, "node_modules/everwrite/dist/core/browser/webrtc.js"), await bundleWebRtc());

  const program = await readmeProgram("### In a browser");
  assert.ok(program.includes(seed));
  await writeFile(join(folder, "wrong.ts"), program.replace('store.bucket("carts"', 'store.bucket("crats"'));
  const wrong = compile(folder, ["--noEmit", ...types, "wrong.ts"]);
  await assert.rejects(wrong, (error: { stdout?: string }) => /wrong\.ts.*crats/s.test(error.stdout ?? ""));
  const { hosts, seeds } = await pageHosts(1, "shop", join(folder, "hosts"));
  t.after(() => hosts.stop());
  await writeFile(join(folder, "app.ts"), program.replace(seed, seeds[0]!));
  const said = await compile(folder, ["--noEmit", ...types, "app.ts"]).then(
    () => "",
    ({ stdout }: { readonly stdout: string }) => stdout,
  );
  // The types of libp2p's events ask for those of Node, which a web application does not have: Vite's templates say `skipLibCheck`.
  assert.doesNotMatch(said, /^(?!node_modules\/main-event\/)\S/m);

  await writeFile(join(folder, "index.html"), html);
  const app = { root: folder, configFile: false, logLevel: "warn" } as const;
  const built = await build({ ...app, build: { target: "esnext" } });
  if (!("output" in built)) throw new Error("vite built nothing");
  const chunks = built.output.filter((file) => file.type === "chunk");
  const isOfOtherRoles = ({ moduleIds }: { readonly moduleIds: readonly string[] }): boolean =>
    moduleIds.some((id) => /webrtc|gossipsub|\/everwrite\/dist\/core\/(?:node|documents\/[a-z-]+)\.js/.test(id));
  assert.ok(!chunks.some((chunk) => chunk.isEntry && isOfOtherRoles(chunk)));
  const edge = chunks.filter((chunk) => !isOfOtherRoles(chunk));
  const bytes = edge.reduce((sum, { code }) => sum + gzipSync(code).length, 0);
  // The bar is on the minimal application (bundle.test.ts); this one awaits at its top, so that its chunks are more and smaller.
  t.diagnostic(`${bytes} bytes gzipped with the network of an edge`);

  const server = await preview({ ...app, preview: { host: "127.0.0.1", port: 0 } });
  try {
    await using browser = await launchChromium();
    const page = await browser.context.newPage();
    const shows = async (text: string): Promise<void> => {
      await page.goto(server.resolvedUrls!.local[0]!);
      await eventually(async () => (await page.textContent("body")) === text, `the page to show "${text}"`);
    };
    await shows("book 0");
    await shows("book 0, book 1");
    // The page shows a write before hosts have it.
    await eventually(async () => {
      const { values } = await kv(hosts.url(0)).get("carts/alice");
      return values.join() === '{"books":["book 0","book 1"]}';
    }, "the host to have both books");
  } finally {
    await server.close();
  }
});
