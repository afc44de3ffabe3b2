/** The built page as a static site: on any web server, for hosts that run anywhere. */
import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { freePort } from "../support/ports.ts";
import { Shopper } from "./shopper.ts";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** A copy of the site below a path, on a server that knows nothing of it. */
class StaticSite implements AsyncDisposable {
  readonly directory = temporaryDirectory();
  readonly #server: Server;

  constructor() {
    cpSync(join("dist", "site"), this.directory, { recursive: true });
    this.#server = createServer((request, response) => {
      const path = new URL(request.url!, "http://any").pathname.replace(/^\/below\//, "") || "index.html";
      try {
        const file = readFileSync(join(this.directory, path));
        response.writeHead(200, { "content-type": types[extname(path)] ?? "application/json" }).end(file);
      } catch {
        response.writeHead(404).end();
      }
    });
  }

  async listen(port = 0): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  /** Changes a file as a new build would. */
  edit(name: string, change: (text: string) => string): void {
    const path = join(this.directory, name);
    writeFileSync(path, change(readFileSync(path, "utf8")));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

let hosts: HostProcesses;
let seed: string;
before(async () => {
  seed = `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;
  hosts = new HostProcesses(temporaryDirectory());
  await hosts.add({ flags: ["--p2p", seed, "--cluster", "elsewhere"] });
});
after(() => hosts[Symbol.asyncDispose]());

test("the page finds its hosts by the query of its address, and by a file beside it", async () => {
  await using site = new StaticSite();
  const url = `http://127.0.0.1:${await site.listen()}/below/`;
  const query = new URLSearchParams({ cluster: "elsewhere", seed });
  await using shopper = await Shopper.visit(`${url}?${query}`);
  await shopper.add("Soap");
  await shopper.sees("Connected, all is sent");
  const { keys } = (await (await fetch(`${hosts.url(0)}/kv/carts/`)).json()) as { keys: string[] };
  assert.equal(keys.length, 1);
  await shopper.goTo("lab");
  await shopper.sees(/hosts of this shop run elsewhere/);
  await shopper.goTo("hood");
  await shopper.sees(/hosts of this shop run elsewhere/);

  writeFileSync(join(site.directory, "everwrite.json"), JSON.stringify({ cluster: "elsewhere", seeds: [seed] }));
  await shopper.page.goto(url);
  await shopper.sees("Connected, all is sent");
});

test("hosts that a link names get nothing of what the visitor wrote for the page's own, and shut nobody's network", async () => {
  await using site = new StaticSite();
  const nobody = `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;
  const file = join(site.directory, "everwrite.json");
  writeFileSync(file, JSON.stringify({ cluster: "elsewhere", seeds: [nobody] }));
  const url = `http://127.0.0.1:${await site.listen()}/below/`;
  const link = `${url}?${new URLSearchParams({ cluster: "elsewhere", seed })}`;
  await using shopper = await Shopper.visit(url);
  await shopper.add("Kite");
  await shopper.seesCart("1 Kite");

  await shopper.page.goto(link);
  await shopper.sees("Connected, all is sent");
  await shopper.seesCart();
  await shopper.add("Bell");
  await shopper.sees("Connected, all is sent");
  await shopper.button("Go offline").click();
  await shopper.sees(/^Offline/);

  writeFileSync(file, JSON.stringify({ cluster: "elsewhere", seeds: [seed] }));
  await shopper.page.goto(url);
  await shopper.sees("Connected, all is sent");
  await shopper.seesCart("1 Kite");
});

test("a page that is given no hosts says what is missing", async () => {
  await using site = new StaticSite();
  await using shopper = await Shopper.open(`http://127.0.0.1:${await site.listen()}/below/`);
  await shopper.sees(/needs everwrite.json beside it, and got 404/);
  writeFileSync(join(site.directory, "everwrite.json"), JSON.stringify({ seeds: 1 }));
  await shopper.button("Try again").click();
  await shopper.sees(/must hold/);
});

test("a new build is fetched by the next load and shown by the one after it, also without the server", async () => {
  const site = new StaticSite();
  writeFileSync(join(site.directory, "everwrite.json"), JSON.stringify({ cluster: "elsewhere", seeds: [] }));
  const url = `http://127.0.0.1:${await site.listen()}/below/`;
  await using shopper = await Shopper.visit(url);
  await shopper.page.evaluate("navigator.serviceWorker.ready");
  assert.equal(await shopper.page.title(), "The Everwrite Shop");

  site.edit("index.html", (html) => html.replace("<title>The Everwrite Shop", "<title>The newer shop"));
  site.edit("sw.js", (worker) => worker.replace(/shop-[0-9a-f]+/, "shop-newer"));
  await shopper.page.reload();
  await eventually(
    async () => (await shopper.page.evaluate<string[]>("caches.keys()")).join() === "shop-newer",
    "the new build to be kept, and the old one dropped",
  );
  await shopper.page.reload();
  assert.equal(await shopper.page.title(), "The newer shop");
  await site[Symbol.asyncDispose]();
  await shopper.page.reload();
  assert.equal(await shopper.page.title(), "The newer shop");
  await shopper.add("Tea");
  await shopper.seesCart("1 Tea");
  assert.deepEqual(shopper.problems, []);
});
