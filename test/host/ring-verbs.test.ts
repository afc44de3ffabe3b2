/** The verbs that change the ring, against the HTTP API over a fake node; what they do to real hosts: `ring-changes.test.ts`. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { run } from "../../node-host/cli.ts";
import { eventually } from "../support/eventually.ts";
import type { MemberView } from "../../core/api.ts";
import { type Ended, everwrite } from "../support/everwrite.ts";
import { fakeId } from "../support/fake-node.ts";
import { startTestServer, type TestServer } from "../support/http-server.ts";

const main = fileURLToPath(new URL("../../node-host/main.js", import.meta.url));

let server: TestServer;

before(async () => {
  server = await startTestServer();
});

after(() => server.close());

beforeEach(() => {
  server.node.moving = 0;
  server.node.away = [];
  server.node.statusCalls = 0;
  server.node.calls.length = 0;
});

test("wrong usage of a verb that changes the ring is exit code 2, says what is right, and asks no host", async () => {
  for (const [args, pattern] of [
    [["plan"], /missing required argument 'change'/],
    [["plan", "grow"], /Allowed choices are join, leave, remove, rebalance/],
    [["plan", "remove"], /remove needs the id of the host that it is for/],
    [["join"], /missing required argument 'id'/],
    [["remove"], /missing required argument 'id'/],
    [["leave", fakeId], /too many arguments for 'leave'/],
    [["rebalance", fakeId], /too many arguments for 'rebalance'/],
    [["import-old", "store.old-1"], /come back: add --deleted-may-return to do it/],
  ] as const) {
    const { code, text } = await everwrite(...args, "--http", server.url);
    assert.equal(code, 2, `${args.join(" ")}: ${text}`);
    assert.match(text, pattern);
  }
  assert.deepEqual(server.node.calls, []);
});

test("a change is made on the ring that its plan showed, and told when it is done", async () => {
  const { code, text } = await everwrite("remove", fakeId, "--force", "--http", server.url);
  assert.equal(code, 0, text);
  assert.match(text, /^remove 12D3KooWFakeNode: 3 tokens change hands, on the ring f1f2\n/);
  assert.match(text, /\ndone\n$/);
  assert.deepEqual(
    server.node.calls.map(({ verb, options }) => [verb, options]),
    [
      ["plan", { kind: "remove", host: fakeId, force: true }],
      ["change", { kind: "remove", host: fakeId, force: true, ring: "f1f2" }],
    ],
  );
});

test("on a terminal a change shows how far it is, until nothing moves any more", async () => {
  server.node.moving = 8;
  let told = "";
  const io = {
    stdin: (async function* () {})(),
    stdout: { write: () => true },
    stderr: { write: (text: string | Uint8Array) => (told += String(text)), isTTY: true },
    env: {},
  };
  const running = run(["rebalance", "--http", server.url], io);
  await eventually(() => told.includes("0 %: about 0 of 100 keys, 0 B of 100.0 KiB"), "the first figures");
  server.node.moving = 2;
  await eventually(() => /75 %: about 75 of 100 keys, 75.0 KiB of 100.0 KiB, about .* left/.test(told), "the next");
  server.node.moving = 0;
  assert.equal(await running, 0);
});

test("a change that waits for a host that does not answer is not done: it says for whom, and ends with 1", async () => {
  server.node.away = [{ id: fakeId, filling: 7 }];
  const told = await everwrite("rebalance", "--http", server.url);
  assert.equal(told.code, 1, told.text);
  assert.match(told.text, /12D3KooWFakeNode does not answer: 7 partitions wait to be filled there/);
  assert.doesNotMatch(told.text, /^done$/m);
  let out = "";
  const io = {
    stdin: (async function* () {})(),
    stdout: { write: (text: string | Uint8Array) => Boolean((out += String(text))) },
    stderr: { write: () => true },
    env: {},
  };
  const code = await run(["remove", fakeId, "--json", "--http", server.url], io);
  const { state, waitsFor } = JSON.parse(out) as { state: string; waitsFor: unknown };
  assert.deepEqual([code, state, waitsFor], [1, "waiting", [{ id: fakeId, filling: 7 }]]);
});

test("a host that is away for a moment is waited for", async () => {
  server.node.away = [{ id: fakeId, filling: 7 }];
  const running = everwrite("rebalance", "--http", server.url);
  await eventually(() => server.node.statusCalls > 1, "it to wait");
  server.node.away = [];
  const { code, text } = await running;
  assert.equal(code, 0, text);
  assert.match(text, /1 tokens have to wait: .*; then rebalance again\n/);
  assert.match(text, /\ndone\n$/);
});

test("Ctrl-C ends the waiting, not the change, and says so", async () => {
  server.node.moving = 8;
  const child = spawn(process.execPath, [main, "join", fakeId, "--http", server.url, "--json"]);
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  const closed = once(child, "close") as Promise<[number | null]>;
  await eventually(() => server.node.statusCalls > 0, "it to wait");
  child.kill("SIGINT");
  const [code] = await closed;
  assert.equal(code, 0);
  assert.equal((JSON.parse(out) as { state: string }).state, "begun");
});

test("a host that ends while it leaves has left only if it, or another one, says so", async () => {
  const leaving = async (status: "leaving" | "left", others: readonly string[]): Promise<Ended> => {
    const host = await startTestServer();
    host.node.moving = status === "left" ? 1 : 0;
    const now = await host.node.status();
    const [own, other] = now.members as [MemberView, MemberView];
    const members = [{ ...own, status }, ...others.map((http) => ({ ...other, alive: true, http }))];
    let calls = 0;
    host.node.status = async () => {
      calls += 1;
      return { ...now, members };
    };
    const ended = everwrite("leave", "--http", host.url);
    await eventually(() => calls > 3, "it to wait");
    await host.close();
    return ended;
  };
  const [died, left] = [await leaving("leaving", []), await leaving("left", [])];
  assert.equal(died.code, 1, died.text);
  assert.match(died.text, /12D3KooWFakeNode answers no more, and nobody says that it has left: keep its data/);
  assert.doesNotMatch(died.text, /^done$/m);
  assert.deepEqual([left.code, left.text.endsWith("\ndone\n")], [0, true], left.text);

  await using other = await startTestServer();
  assert.equal((await leaving("leaving", ["http://127.0.0.1:1", other.url])).code, 1, "another one says it is up");
  const now = await other.node.status();
  other.node.status = async () => ({ ...now, members: now.members.map((member) => ({ ...member, status: "left" })) });
  const told = await leaving("leaving", ["http://127.0.0.1:1", other.url]);
  assert.deepEqual([told.code, told.text.endsWith("\ndone\n")], [0, true], told.text);
});

test("a host that stays although it was told to leave has not left: the command says why, and ends with 1", async () => {
  await using host = await startTestServer();
  const now = await host.node.status();
  const [own, ...others] = now.members as [MemberView, ...MemberView[]];
  const why = "told to leave, and stays";
  host.node.status = async () => ({ ...now, notices: [why], members: [{ ...own, status: "up" }, ...others] });
  const { code, text } = await everwrite("leave", "--http", host.url);
  assert.equal(code, 1, text);
  assert.match(text, new RegExp(why));
  assert.doesNotMatch(text, /^done$/m);
});
