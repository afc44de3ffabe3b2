/** One end of a transfer dies at its first message, its second, and so on until there are no more: nothing is lost, and all comes to rest. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { methods } from "../../../core/rpc/rpc.ts";
import { until } from "../cluster.ts";
import type { SimHost } from "../host.ts";
import { type Stage, type Story, tell } from "./stage.ts";

/** What partitions are moved with. */
const transferMethods = new Set<number>(
  [methods.scan, methods.handOff, methods.covers, methods.swap].map(({ number }) => number),
);
/** Above what any transfer here takes. */
const messagesMax = 200;
const downMs = 700;

type End = "sender" | "receiver";
/** `watch`: to be called with each host that starts. */
type Change = (stage: Stage, watch: (host: SimHost) => void) => Promise<void>;

const join: Change = async (stage, watch) => {
  const { arrivals, schedule } = stage.world;
  const joiner = stage.world.addHost();
  arrivals.arrives(joiner, schedule.nowMs);
  stage.world.start(joiner);
  watch(joiner);
  await until(stage.world, 60_000, "it has its share", () => joiner.ready);
};

/** Its co-owner lacks a copy, which is pushed to it first. */
const leave: Change = async (stage, watch) => {
  const [host, other] = stage.walk();
  other!.kill("loses a record");
  const { oracle, schedule } = stage.world;
  const { row } = oracle.locate("sim/key0");
  const lose = { kind: "delete", ns: "objects", key: row } as const;
  oracle.losing(other!, schedule.nowMs, () => {
    for (const image of [other!.disk.view, other!.disk.synced]) image.apply([lose]);
  });
  await stage.start(other!);
  await stage.settled();
  watch(other!);
  await stage.change(host!, { kind: "leave", host: host!.id });
  await stage.gone(host!);
};

/** `told`: called when there was such a message. */
function dyingAt(change: Change, { at, end, told }: { at: number; end: End; told: () => void }): Story {
  return {
    name: `an end dies at message ${at} of a transfer`,
    // Anti-entropy would mend what a transfer has missed.
    cluster: {
      n: 2,
      partitions: 4,
      config: { readRepairShare: 0, antiEntropyIntervalMs: 2_000_000_000, fillPageBytes: 1 },
    },
    play: async (stage) => {
      const { world } = stage;
      const keys = Array.from({ length: 8 }, (_, key) => key);
      for (const key of keys) await stage.put(stage.walk(key)[0]!, { key, quorum: "all" });
      let left = at;
      const watch = (sender: SimHost): void => {
        sender.transport!.onNextRequest = (to, body) => {
          if (left < 0 || to === sender.id || !transferMethods.has(body[0]!) || left-- > 0) return;
          told();
          const victim = end === "sender" ? sender : stage.host(to);
          victim.kill(`dies as ${sender.name} asks ${to} ${body[0]}`);
          world.schedule.after(downMs, "is started again", () => world.start(victim));
        };
      };
      for (const host of world.hosts) watch(host);
      await change(stage, watch);
      await stage.settled();
      for (const key of keys) {
        for (const owner of stage.walk(key).slice(0, 2)) {
          assert.equal((await stage.siblings(owner, key)).length, 1, `key${key} at ${owner.name}`);
        }
      }
    },
  };
}

for (const [verb, change] of [
  ["joins", join],
  ["leaves", leave],
] as const) {
  for (const end of ["sender", "receiver"] as const) {
    test(`a host ${verb}, and the ${end} of any message of the transfer dies: nothing is lost`, async (t) => {
      for (let at = 0; at < messagesMax; at++) {
        let isThere = false;
        const story = dyingAt(change, { at, end, told: () => (isThere = true) });
        const { violation, log } = await tell(story);
        assert.equal(violation && `${at}: ${violation.rule}: ${violation.text}`, undefined, log.slice(-40).join("\n"));
        if (!isThere) return t.diagnostic(`${at} messages`);
      }
      assert.fail(`a transfer of more than ${messagesMax} messages`);
    });
  }
}
