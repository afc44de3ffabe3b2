/**
 * A Vite plugin that makes the page work without a network from its first visit on: a service worker that keeps the files
 * of this build.
 * Invariant: files of two builds are never mixed: each build has a cache of its own, filled before it is used with all that
 * the page loads by itself.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";
import { reachedWithout } from "./reached.ts";

/** `later`: ends of the paths of lazy modules that few visitors ever load. What is theirs is kept from the first use on. */
export function serviceWorker(later: readonly string[]): Plugin {
  let publicDirectory = "";
  return {
    name: "everwrite-service-worker",
    enforce: "post", // after the page itself is among the files
    configResolved(config) {
      publicDirectory = config.publicDir;
    },
    generateBundle(_options, bundle) {
      const first = reachedWithout(later, bundle);
      const built = Object.values(bundle).map((file): [string, string | Uint8Array] => [
        file.fileName,
        file.type === "chunk" ? file.code : file.source,
      ]);
      const copied = readdirSync(publicDirectory).map((name): [string, Uint8Array] => [
        name,
        readFileSync(join(publicDirectory, name)),
      ]);
      const files = [...built, ...copied].toSorted(([a], [b]) => (a < b ? -1 : 1));
      const hash = createHash("sha256");
      for (const [name, content] of files) hash.update(name).update(content);
      const isLater = (name: string): boolean => bundle[name]?.type === "chunk" && !first.has(name);
      const paths = {
        first: ["./", ...files.filter(([name]) => !isLater(name)).map(([name]) => `./${name}`)],
        later: files.filter(([name]) => isLater(name)).map(([name]) => `./${name}`),
      };
      this.emitFile({ type: "asset", fileName: "sw.js", source: workerOf(hash.digest("hex").slice(0, 16), paths) });
    },
  };
}

/** Addresses of hosts may change: they come from the server while it answers. All else is of one build. */
function workerOf(version: string, { first, later }: Readonly<Record<"first" | "later", readonly string[]>>): string {
  return `const name = "shop-${version}";
const first = ${JSON.stringify(first)};
const later = ${JSON.stringify(later)};
const fresh = "everwrite.json";

self.addEventListener("install", (event) => {
  event.waitUntil(fill().then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const dropOld = (names) => Promise.all(names.filter((each) => each.startsWith("shop-") && each !== name).map((each) => caches.delete(each)));
  event.waitUntil(caches.keys().then(dropOld).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const scope = new URL(self.registration.scope);
  if (request.method !== "GET" || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return;
  const path = url.pathname.slice(scope.pathname.length);
  if (path === fresh) event.respondWith(fromServer(request));
  else if (path === "" || [...first, ...later].includes("./" + path)) event.respondWith(fromCache(path, request));
});

async function fill() {
  const cache = await caches.open(name);
  await cache.addAll(first);
  await cache.add(fresh).catch(() => {}); // a page whose hosts are named in its address has none
}

async function fromServer(request) {
  const cache = await caches.open(name);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(fresh, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(fresh);
    if (kept) return kept;
    throw error;
  }
}

async function fromCache(path, request) {
  const cache = await caches.open(name);
  const kept = await cache.match("./" + path);
  if (kept) return kept;
  const response = await fetch(request);
  if (response.ok && later.includes("./" + path)) await cache.put("./" + path, response.clone());
  return response;
}
`;
}
