/** What people read: tables, short forms, sentences of the log. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { summary } from "../../node-host/cli/bench-verb.ts";
import { progressText } from "../../node-host/cli/ring-verbs.ts";
import { bytesText, durationText, type Io, printable, shortId, styled, table } from "../../node-host/cli/terminal.ts";
import { serverSentEvents } from "../../node-host/cli/watch-verb.ts";
import { describe as sentence } from "../../node-host/log.ts";

function io(isTTY: boolean, env: Record<string, string> = {}): Io {
  const output = { write: () => true, isTTY };
  return { stdin: (async function* () {})(), stdout: output, stderr: output, env };
}

test("a table's columns have equal widths, numbers to the right", () => {
  const text = table([
    ["NAME", "COUNT", "NOTE"],
    ["a", 1, "first"],
    ["longer", 100, ""],
  ]);
  assert.equal(text, "NAME    COUNT  NOTE\na           1  first\nlonger    100");
});

test("a name that others chose stays on its line of a table, and is only text", () => {
  assert.equal(table([["ZONE"], ["a\u001b[31m\nb"]]), "ZONE\na\\x1b[31m\\x0ab");
});

test("colours are for terminals whose user did not refuse them", () => {
  assert.equal(styled(io(false), "bold", "x"), "x");
  assert.equal(styled(io(true, { NO_COLOR: "1" }), "bold", "x"), "x");
  assert.notEqual(styled(io(true), "bold", "x"), "x");
});

test("sizes, times and ids have short forms", () => {
  assert.deepEqual([0, 1_023, 1_024, 1_572_864].map(bytesText), ["0 B", "1023 B", "1.0 KiB", "1.5 MiB"]);
  assert.deepEqual([0, 999, 61_000, 90_000_000].map(durationText), ["0 ms", "999 ms", "1 min", "1 d"]);
  assert.equal(shortId("12D3KooWAbcdefghijkl"), "…efghijkl");
});

test("the progress of a change of the ring tells the share, keys, bytes and the time left, once it can be told", () => {
  const plan = { keys: 200, bytes: 2_048 };
  assert.equal(progressText(plan, 0, 1_000), "0 %: about 0 of 200 keys, 0 B of 2.0 KiB");
  assert.equal(progressText(plan, 0.25, 20_000), "25 %: about 50 of 200 keys, 512 B of 2.0 KiB, about 1 min left");
});

test("no text of a value reaches the terminal as a control sequence", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      // oxlint-disable-next-line no-control-regex -- they are what must not be there
      assert.doesNotMatch(printable(text), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    }),
  );
});

test("percentiles are by nearest rank, and absent where nothing was measured", () => {
  const thousand = Array.from({ length: 1_000 }, (_, index) => 1_000 - index);
  const { perSecond, p50Ms, p99Ms, p999Ms, maxMs } = summary(thousand, 10);
  assert.deepEqual([perSecond, p50Ms, p99Ms, p999Ms, maxMs], [100, 500, 990, 999, 1_000]);
  assert.equal(summary([], 1).p50Ms, null);
});

test("server-sent events are the same however the bytes are cut", async () => {
  const text = ': ping\n\nevent: state\ndata: {"a":"zoë"}\n\n: ping\n\nevent: error\ndata: x\n\nevent: cut';
  const bytes = Buffer.from(text);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: bytes.length }), async (size) => {
      const chunks = (async function* () {
        for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
      })();
      const events = [];
      for await (const event of serverSentEvents(chunks)) events.push(event);
      assert.deepEqual(events, [
        { event: "state", data: '{"a":"zoë"}' },
        { event: "error", data: "x" },
      ]);
    }),
  );
});

test("events are sentences", () => {
  assert.equal(
    sentence({ kind: "partition-lost", partitions: 2 }),
    "2 partitions have no complete copy left: their owners go on with what they hold",
  );
  assert.equal(sentence({ kind: "request", verb: "get", ms: 1.25, outcome: "ok" }), "get ok in 1.3 ms");
});
