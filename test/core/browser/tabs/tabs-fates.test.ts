/** Whatever becomes of tabs, in whatever order: each write happens once, and every watch tells of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { StoreWrite } from "../../../../core/store-node.ts";
import { utf8 } from "../../../support/values.ts";
import { TabScene } from "./scene.ts";

const first = ["a", "b", "c"];

type Step =
  | { readonly do: "put" | "crash" | "stop" | "stall" | "freeze" | "goOn" | "loseMessages"; readonly tab: number }
  | { readonly do: "open" }
  | { readonly do: "wait"; readonly ms: number };

const tab = fc.nat(first.length + 2);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("put" as const), tab }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom("crash", "stop", "stall", "freeze", "goOn", "loseMessages"), tab }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("open" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(0, 10, 100, 600, 1_500) }),
  },
);

/** What happens to tabs, and to the writes that they make meanwhile. */
class Fates {
  readonly scene = new TabScene();
  /** With when they have opened the store. */
  readonly #open = new Map<string, Promise<void>>();
  readonly #frozen = new Set<string>();
  /** By key. */
  readonly #writes = new Map<string, { readonly tab: string; readonly write: Promise<StoreWrite> }>();
  readonly #seen = new Map<string, Set<string>>();
  #names = 0;

  open(name: string): void {
    this.#open.set(name, this.scene.begin(name));
    const seen = new Set<string>();
    this.#seen.set(name, seen);
    const watch = async (): Promise<void> => {
      const last = new Map<string, string>();
      for await (const change of this.scene.node(name).watch("b", { prefix: "" }, new AbortController().signal)) {
        const state = JSON.stringify([change.siblings.map(({ dot }) => dot), change.deleted, change.pending]);
        assert.notEqual(last.get(change.name), state, `${change.name} was told twice in ${name}`);
        last.set(change.name, state);
        seen.add(change.name);
      }
    };
    void watch();
  }

  async take(what: Step): Promise<void> {
    if (what.do === "wait") return this.scene.clock.advance(what.ms);
    if (what.do === "open") return this.open(`new ${this.#names++}`);
    const name = [...this.#open.keys()][what.tab];
    if (name === undefined) return;
    switch (what.do) {
      case "put": {
        const key = `k${this.#writes.size}`;
        const write = this.scene.node(name).put("b", key, utf8(key), { timeoutMs: 60_000 });
        write.catch(() => {});
        this.#writes.set(key, { tab: name, write });
        return;
      }
      case "crash":
        // One is left, for somebody must tell what became of it all.
        if (this.#open.size === 1) return;
        this.scene.crash(name);
        this.#open.delete(name);
        return;
      case "stop":
        return this.scene.stop(name);
      case "stall":
        return this.scene.stall(name);
      case "freeze":
        this.scene.node(name).freeze();
        this.scene.stall(name);
        this.#frozen.add(name);
        return;
      case "goOn":
        return this.goOn(name);
      case "loseMessages":
        // As when its process ends before they leave it; so it must end.
        if (this.#open.size === 1) return;
        this.scene.onMessage = (from, _to, message) => (from === name ? undefined : message);
        await this.scene.clock.advance(10);
        this.scene.crash(name);
        this.#open.delete(name);
        this.scene.onMessage = (_from, _to, message) => message;
    }
  }

  goOn(name: string): void {
    this.scene.goOn(name);
    if (this.#frozen.delete(name)) this.scene.node(name).resume();
  }

  /** All tabs that are left run, and are waited for. */
  async check(): Promise<void> {
    for (const name of this.#open.keys()) this.goOn(name);
    for (const opened of this.#open.values()) await this.scene.settle(opened);
    const made: string[] = [];
    for (const [key, { tab: by, write }] of this.#writes) {
      if (!this.#open.has(by)) continue;
      await this.scene.settle(write);
      made.push(key);
    }
    const [judge] = this.#open.keys();
    const node = this.scene.node(judge!);
    const { keys } = await this.scene.settle(node.list("b"));
    for (const key of made) assert.ok(keys.includes(key), `${key} is lost`);
    for (const key of keys) {
      const { siblings } = await this.scene.settle(node.get("b", key));
      assert.equal(siblings.length, 1, `${key} is there ${siblings.length} times`);
    }
    const { rows } = await this.scene.disk.page("hints", { limit: 10_000, keysOnly: true });
    assert.equal(rows.length, keys.length, "each is one event");
    await this.scene.clock.advance(1_000);
    for (const name of this.#open.keys()) {
      for (const key of keys) assert.ok(this.#seen.get(name)!.has(key), `${name} has not seen ${key}`);
    }
  }
}

test("each write of a tab that is left happens once, and all watches tell of it", () =>
  fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const fates = new Fates();
      for (const name of first) fates.open(name);
      for (const each of steps) await fates.take(each);
      await fates.check();
    }),
    { numRuns: 300 },
  ));
