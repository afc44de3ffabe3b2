/** Ports that tests take for their hosts are given once, also where processes ask at the same time. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";

const asks = `
  const { freePort } = await import(${JSON.stringify(new URL("../support/ports.js", import.meta.url).href)});
  console.log(JSON.stringify(await Promise.all(Array.from({ length: 200 }, freePort))));
  process.stdin.resume();
`;

test("processes that live at the same time get no port twice", async () => {
  const processes = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ["--input-type=module", "--eval", asks], { stdio: ["pipe", "pipe", "inherit"] }),
  );
  try {
    const lines = processes.map(({ stdout }) => once(createInterface(stdout), "line"));
    const ports = (await Promise.all(lines)).flatMap(([line]) => JSON.parse(line as string) as number[]);
    assert.equal(new Set(ports).size, 800);
  } finally {
    for (const each of processes) each.stdin.end();
    await Promise.all(processes.map((each) => once(each, "exit")));
  }
});
