/**
 * Makes the published WebRTC chunk: `@libp2p/webrtc` and what only it needs, bundled into one file.
 *
 * As a dependency it would bring react-native (750 packages, 350 MB) to everybody who installs Everwrite, hosts included,
 * for `overrides` reach nobody else's install. What Everwrite depends on by itself stays outside the bundle.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { build } from "vite";

const chunk = "dist/core/browser/webrtc.js";

/** The text of the bundle; it imports nothing but dependencies of package.json. */
export async function bundleWebRtc(): Promise<string> {
  const { dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as { dependencies: Record<string, string> };
  const names = Object.keys(dependencies);
  const result = await build({
    configFile: false,
    envDir: false,
    publicDir: false,
    logLevel: "warn",
    build: {
      write: false,
      minify: false,
      target: "esnext",
      lib: { entry: chunk, formats: ["es"], fileName: "webrtc" },
      rolldownOptions: { external: (id) => names.some((name) => id === name || id.startsWith(`${name}/`)) },
    },
  });
  const [first] = [result].flat();
  if (first === undefined || !("output" in first)) throw new Error("vite built no WebRTC chunk");
  const { output } = first;
  if (output.length !== 1 || output[0].type !== "chunk") throw new Error("the WebRTC chunk is one file");
  return output[0].code;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) writeFileSync(chunk, await bundleWebRtc());
