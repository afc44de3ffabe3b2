/**
 * The test runner, run on invented test files in a project of their own.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { describe, test, type TestContext } from "node:test";

const runner = resolve(import.meta.dirname, "run-tests.js");
const header = 'import { test, describe } from "node:test";';

describe("npm test", () => {
  test("counts tests and not suites, and ends with the summary line", async (t) => {
    const project = invent(t, {
      "dist/test/core/a.test.js": 'describe("of", () => { test("a", () => {}); test("b", () => {}); });',
      "dist/test/b.test.js": 'test("c", () => {});',
    });
    const { code, lines } = await outcome(start(project, []));
    assert.deepEqual([lines.at(-1), code], ["3 passed, 0 failed", 0]);
  });

  test("shows a failure with its path of names, its cause and what it printed", async (t) => {
    const project = invent(t, {
      "dist/test/a.test.js":
        'describe("of", () => test("a", () => { console.log("seed 7"); throw new Error("no", { cause: new Error("disk") }); }));',
      "dist/test/b.test.js": 'throw new Error("at load");',
    });
    const { code, lines } = await outcome(start(project, []));
    assert.deepEqual([lines.at(-1), code], ["0 passed, 2 failed", 1]);
    for (const part of ["of > a", "Error: no", "Error: disk", "seed 7", "at load"]) {
      assert.ok(
        lines.some((line) => line.includes(part)),
        `shows ${part}`,
      );
    }
  });

  test("shows what was thrown after its test had ended, and how the process of the file did", async (t) => {
    const project = invent(t, {
      "dist/test/late.test.js":
        'test("a", () => void setTimeout(() => { throw new Error("late"); }, 10)); test("b", () => new Promise((done) => setTimeout(done, 100)));',
      "dist/test/killed.test.js":
        'test("c", () => {}); process.on("exit", () => process.kill(process.pid, "SIGKILL"));',
    });
    const { code, lines } = await outcome(start(project, []));
    assert.deepEqual([lines.at(-1), code], ["3 passed, 2 failed", 1]);
    const shown = lines.join("\n");
    for (const part of ["exit code 1", "Error: late", "ended with SIGKILL"])
      assert.ok(shown.includes(part), `shows ${part}`);
  });

  test("takes a file without a test, a file that exits early and a skipped test for failures", async (t) => {
    const project = invent(t, {
      "dist/test/empty.test.js": "",
      "dist/test/exit.test.js": 'test("a", () => process.exit(0));',
      "dist/test/over.test.js": ["test.sk", 'ip("b", () => {});'].join(""),
    });
    const { code, lines } = await outcome(start(project, []));
    assert.deepEqual([lines.at(-1), code], ["0 passed, 3 failed", 1]);
  });

  test("runs the files that a filter or --unit names, and fails when there are none", async (t) => {
    const project = invent(t, {
      "dist/test/core/ring.test.js": 'test("a", () => {});',
      "dist/test/host/http.test.js": 'test("b", () => {}); test("c", () => {});',
    });
    const last = async (args: string[]): Promise<string | undefined> =>
      (await outcome(start(project, args))).lines.at(-1);
    assert.equal(await last(["http", "absent"]), "2 passed, 0 failed");
    assert.equal(await last(["--unit"]), "1 passed, 0 failed");
    assert.equal(await last(["absent"]), "0 passed, 1 failed");
  });

  test("ends its children when it is interrupted", async (t) => {
    const project = invent(t, {
      "dist/test/hang.test.js":
        'import { connect } from "node:net"; test("hangs", () => new Promise(() => connect(Number(process.env.PORT))));',
    });
    const { createServer } = await import("node:net");
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close());
    const child = start(project, [], { PORT: String((server.address() as { port: number }).port) });
    const [socket] = (await once(server, "connection")) as [NodeJS.Socket];
    socket.resume();
    const closed = once(socket, "close");
    child.kill("SIGINT");
    const { code, lines } = await outcome(child);
    await closed;
    assert.deepEqual([lines.at(-1), code], ["0 passed, 1 failed", 130]);
  });
});

describe("the launcher of built programs", () => {
  const launcher = resolve("test/tools/built.mjs");
  const frame = { "tsconfig.json": '{ "compilerOptions": { "outDir": "dist", "types": [] }, "files": ["a.ts"] }' };

  test("passes one Ctrl-C on once, though npm repeats it, and ends what the program left behind", async (t) => {
    const program = `
      import { spawn } from "node:child_process";
      const left = spawn(process.execPath, ["-e", "process.on('SIGINT', () => {}); setInterval(() => {}, 1000)"], { stdio: ["ignore", "inherit", "ignore"] });
      let signals = 0;
      process.on("SIGINT", () => { signals += 1; setTimeout(() => { console.log("signals", signals); process.exit(7); }, 100); });
      console.log("ready");`;
    const project = invent(t, { ...frame, "a.ts": program.replaceAll("\n", "\n// @ts-ignore\n") });
    const child = start(project, ["a.ts"], {}, launcher);
    assert.ok(child.stdout);
    await once(child.stdout, "data");
    child.kill("SIGINT");
    child.kill("SIGINT");
    // The output ends only when the process left behind, which has it too, has ended.
    const { code, lines } = await outcome(child);
    assert.deepEqual([lines.at(-1), code], ["signals 1", 7]);
  });

  test("ends with a summary line when the build fails", async (t) => {
    const project = invent(t, { ...frame, "a.ts": "const a: string = 1;" });
    const { code, lines } = await outcome(start(project, ["--clean", "test/tools/run-tests.ts"], {}, launcher));
    assert.deepEqual([lines.at(-1), code], ["0 passed, 1 failed", 1]);
  });
});

function invent(t: TestContext, files: Record<string, string>): string {
  const project = mkdtempSync(join(tmpdir(), "everwrite-runner-"));
  t.after(() => rmSync(project, { recursive: true, force: true, maxRetries: 3 }));
  for (const [path, text] of Object.entries({ "package.json": '{ "type": "module" }', ...files })) {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    writeFileSync(join(project, path), path.endsWith(".test.js") ? `${header}\n${text}` : text);
  }
  return project;
}

function start(project: string, args: string[], env: NodeJS.ProcessEnv = {}, program = runner): ChildProcess {
  // Inside a test, Node's runner would take itself for a child of this one.
  const { NODE_TEST_CONTEXT: _, ...outer } = process.env;
  return spawn(process.execPath, [program, ...args], { cwd: project, env: { ...outer, ...env } });
}

async function outcome(child: ChildProcess): Promise<{ code: number | null; lines: string[] }> {
  let output = "";
  child.stdout?.on("data", (bytes: Buffer) => (output += bytes.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, lines: output.trimEnd().split("\n") };
}
