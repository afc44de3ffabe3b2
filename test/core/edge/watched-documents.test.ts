/** Documents that an edge watches: what it is told of them, and how often. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import * as Y from "yjs";
import { methods } from "../../../core/rpc/rpc.ts";
import type { StoreChange } from "../../../core/store-node.ts";
import { eventually } from "../../support/eventually.ts";
import { utf8 } from "../../support/values.ts";
import { flushed, watching, withEdges } from "./scene.ts";

describe("to an edge that watches", { concurrency: true }, () => {
  test("a document is told what is new in it and reads nothing; whoever wrote that is told with the answer to his write", () =>
    withEdges(1, async (edges) => {
      const [writer, reader] = [await edges.connected("e1"), await edges.connected("e2")];
      const asked = (name: string): Map<number, number> => {
        const counts = new Map<number, number>();
        const transport = edges.transport(name);
        const request = transport.request.bind(transport);
        transport.request = (to, body, timeoutMs) => {
          counts.set(body[0]!, (counts.get(body[0]!) ?? 0) + 1);
          return request(to, body, timeoutMs);
        };
        return counts;
      };
      const [ofWriter, ofReader] = [asked("e1"), asked("e2")];
      const doc = new Y.Doc();
      const updates: Uint8Array[] = [];
      doc.on("update", (update) => updates.push(update));
      for (let i = 0; i < 12; i++) doc.getText("body").insert(0, "x");
      const isShown = (all: readonly StoreChange[], count: number): Promise<void> =>
        eventually(() => all.at(-1)?.siblings.length === count, `${count} updates to be shown`);
      await watching(writer, { name: "k" }, (written) =>
        watching(reader, { name: "k" }, async ({ all }) => {
          for (const [i, update] of updates.entries()) {
            await writer.put("b", "k", update, { kind: "yjs" });
            await isShown(all, i + 1);
            await isShown(written.all, i + 1);
            if (i > 0) continue;
            await eventually(() => writer.facts().settled && reader.facts().settled, "both to have compared");
            for (const counts of [ofWriter, ofReader]) counts.clear();
          }
          assert.equal(ofReader.get(methods.edgeRead.number), undefined, "the reader was told all of it");
          const [told, read] = [ofWriter, ofReader].map((counts) => counts.get(methods.edgeWatch.number) ?? 0);
          assert.ok(told! < read!, `the writer asked ${told} times for changes, the reader ${read} times`);
          const bodies = all.at(-1)!.siblings.map(({ body }) => body);
          const here = new Y.Doc();
          for (const body of bodies) Y.applyUpdate(here, body);
          assert.equal(here.getText("body").length, updates.length);
        }),
      );
    }));

  test("a document is told whole at a host whose disk refuses what others take", () =>
    withEdges(3, async (edges, cluster) => {
      const [writer, reader] = [await edges.connected("e1"), await edges.connected("e2")];
      const transport = edges.transport("e2");
      const request = transport.request.bind(transport);
      let host = "";
      transport.request = (to, body, timeoutMs) => {
        if (body[0] === methods.edgeWatch.number) host = to;
        return request(to, body, timeoutMs);
      };
      const doc = new Y.Doc();
      const updates: Uint8Array[] = [];
      doc.on("update", (update) => updates.push(update));
      for (let i = 0; i < 3; i++) doc.getText("body").insert(0, "x");
      await watching(reader, { name: "k" }, async ({ all }) => {
        for (const [i, update] of updates.entries()) {
          await writer.put("b", "k", update, { kind: "yjs" });
          await flushed(writer);
          await eventually(() => all.at(-1)?.siblings.length === i + 1, `${i + 1} updates to be shown`);
          if (i === 0) cluster.disk(host).refusesWrites = "full";
        }
      });
    }));

  test("a document that is written again and again is told some times a second, the first time at once, and whole in the end", () =>
    withEdges(1, async (edges) => {
      const [writer, reader] = [await edges.connected("e1"), await edges.connected("e2")];
      const transport = edges.transport("e2");
      const request = transport.request.bind(transport);
      let asked = 0;
      transport.request = (to, body, timeoutMs) => {
        if (body[0] === methods.edgeWatch.number) asked += 1;
        return request(to, body, timeoutMs);
      };
      const doc = new Y.Doc();
      const updates: Uint8Array[] = [];
      doc.on("update", (update) => updates.push(update));
      for (let i = 0; i < 30; i++) doc.getText("body").insert(0, "x");
      await watching(reader, { name: "k" }, async ({ all }) => {
        const isShown = (count: number): Promise<void> =>
          eventually(() => all.at(-1)?.siblings.length === count, `${count} updates to be shown`);
        await writer.put("b", "k", updates[0]!, { kind: "yjs" });
        await isShown(1);
        await eventually(() => reader.facts().settled, "the reader to have compared");
        asked = 0;
        const beganMs = performance.now();
        for (const update of updates.slice(1)) await writer.put("b", "k", update, { kind: "yjs" });
        await isShown(updates.length);
        const tookMs = performance.now() - beganMs;
        assert.ok(asked <= 3 + tookMs / 200, `${asked} questions in ${tookMs} ms`);
      });
    }));

  test("a document is told about once a second to an edge that hears its keystrokes ahead of that, and whole in the end", () =>
    withEdges(1, async (edges, cluster) => {
      const [writer, reader] = [await edges.connected("e1"), await edges.connected("e2")];
      const heard: Uint8Array[] = [];
      reader.join("b", "k", (message) => heard.push(message));
      const channel = cluster.node("h1").join("b", "k", () => {});
      await eventually(() => {
        channel.send(utf8("there?"));
        return heard.length > 0;
      }, "the reader to take part in the channel");
      const doc = new Y.Doc();
      let update: Uint8Array;
      doc.on("update", (made) => {
        update = made;
      });
      await watching(reader, { name: "k" }, async ({ all }) => {
        let written = 0;
        const write = async (): Promise<void> => {
          doc.getText("body").insert(0, "x");
          await writer.put("b", "k", update, { kind: "yjs" });
          written += 1;
        };
        const isShown = (): Promise<void> =>
          eventually(() => all.at(-1)?.siblings.length === written, `${written} updates to be shown`);
        await write();
        await isShown();
        const before = all.length;
        const beganMs = performance.now();
        while (performance.now() - beganMs < 2_000) {
          await write();
          await delay(50);
        }
        await isShown();
        const tookMs = performance.now() - beganMs;
        const told = all.length - before;
        assert.ok(told <= 2 + tookMs / 900, `${told} times told in ${tookMs} ms`);
      });
    }));

  test("a document is told no more often where another key under the same prefix changes all the time", () =>
    withEdges(1, async (edges, cluster) => {
      const [writer, reader] = [await edges.connected("e1"), await edges.connected("e2")];
      const transport = edges.transport("e2");
      const request = transport.request.bind(transport);
      let [answers, told] = [0, 0];
      transport.request = async (to, body, timeoutMs) => {
        const answer = await request(to, body, timeoutMs);
        if (body[0] !== methods.edgeWatch.number || answer[0] !== 0) return answer;
        const { keys } = methods.edgeWatch.response.decode(answer.subarray(1));
        answers += 1;
        if (keys.includes("b/k")) told += 1;
        return answer;
      };
      const doc = new Y.Doc();
      const updates: Uint8Array[] = [];
      doc.on("update", (update) => updates.push(update));
      for (let i = 0; i < 60; i++) doc.getText("body").insert(0, "x");
      await watching(reader, { prefix: "" }, async ({ all, shows }) => {
        const isShown = (count: number): Promise<void> =>
          eventually(
            () => all.findLast(({ name }) => name === "k")?.siblings.length === count,
            `${count} updates to be shown`,
          );
        await writer.put("b", "k", updates[0]!, { kind: "yjs" });
        await isShown(1);
        await eventually(() => reader.facts().settled, "the reader to have compared");
        [answers, told] = [0, 0];
        const beganMs = performance.now();
        for (const [i, update] of updates.slice(1).entries()) {
          await writer.put("b", "k", update, { kind: "yjs" });
          await flushed(writer);
          await cluster.node("h1").put("b", `busy${i}`, utf8("now"));
          await shows(`busy${i}`, "now");
        }
        await isShown(updates.length);
        const tookMs = performance.now() - beganMs;
        assert.ok(told <= 3 + tookMs / 200, `${told} of ${answers} answers in ${tookMs} ms`);
        assert.ok(told < answers, `${told} of ${answers} answers told of the document`);
      });
    }));
});
