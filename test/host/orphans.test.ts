/** Hosts whose parent is killed: none goes on by itself, whatever it was at. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "./temporary-directory.ts";
import { freePort } from "../support/ports.ts";

const main = fileURLToPath(new URL("../../node-host/main.js", import.meta.url));
const parentFile = fileURLToPath(new URL("./parent-process.js", import.meta.url));
const stoppingFile = fileURLToPath(new URL("./stopping-process.js", import.meta.url));

/** Against hanging: it is long over then. */
const limitMs = 60_000;

class Family {
  readonly #parent: ChildProcess;
  readonly #closed: Promise<unknown>;
  #text = "";

  constructor(args: readonly string[]) {
    this.#parent = spawn(process.execPath, [parentFile, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    // The child has inherited the pipes: they close when both are gone.
    this.#closed = once(this.#parent, "close");
    for (const stream of [this.#parent.stdout!, this.#parent.stderr!]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => (this.#text += chunk));
    }
  }

  get childPid(): number {
    return Number(/"spawned","pid":(\d+)/.exec(this.#text)![1]);
  }

  async says(what: string): Promise<void> {
    while (!this.#text.includes(what)) {
      assert.equal(this.#parent.exitCode, null, this.#text);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Kills the parent; true when the child has ended, too. */
  async endsWithParent(): Promise<boolean> {
    const { childPid } = this;
    this.#parent.kill("SIGKILL");
    let timer: NodeJS.Timeout;
    const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), limitMs)));
    const hasEnded = await Promise.race([this.#closed.then(() => true), late]);
    clearTimeout(timer!);
    if (!hasEnded) process.kill(childPid, "SIGKILL");
    return hasEnded;
  }

  tellChild(signal: NodeJS.Signals): void {
    process.kill(this.childPid, signal);
  }
}

describe("a host whose parent is killed ends", () => {
  async function hostArgs(data = temporaryDirectory()): Promise<string[]> {
    const [http, p2p] = [await freePort(), await freePort()];
    const listen = ["--http", `127.0.0.1:${http}`, "--p2p", `/ip4/127.0.0.1/tcp/${p2p}`];
    return [main, "host", "--data", data, ...listen, "--log-format", "json"];
  }

  // Loading its modules takes some hundred ms, opening its storage and libp2p some more.
  for (const delayMs of [0, 20, 50, 100, 200, 300, 400, 600, 800]) {
    test(`${delayMs} ms after it was spawned`, async () => {
      const family = new Family(await hostArgs());
      await family.says('"spawned"');
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      assert.equal(await family.endsWithParent(), true);
    });
  }

  test("while it runs, while it waits for seeds that do not answer, and while another one has its directory", async () => {
    const data = temporaryDirectory();
    const first = new Family(await hostArgs(data));
    await first.says('"running"');
    const waiting = new Family([...(await hostArgs()), "--seed", `/ip4/127.0.0.1/tcp/${await freePort()}`]);
    await waiting.says('"running"');
    const second = new Family(await hostArgs(data));
    await second.says('"spawned"');
    assert.deepEqual(await Promise.all([first, waiting, second].map((each) => each.endsWithParent())), [
      true,
      true,
      true,
    ]);
  });

  test("while it stops", async () => {
    const family = new Family(await hostArgs());
    await family.says('"running"');
    family.tellChild("SIGTERM");
    assert.equal(await family.endsWithParent(), true);
  });

  test("also where stopping hangs, for nobody is left who could send a second signal", async () => {
    const family = new Family([stoppingFile]);
    await family.says('"begun"');
    family.tellChild("SIGTERM");
    await family.says('"stopping"');
    assert.equal(await family.endsWithParent(), true);
  });
});
