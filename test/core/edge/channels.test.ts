/** An edge's part in channels, beside a host that refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EdgeChannels } from "../../../core/edge/channels.ts";
import type { Contact } from "../../../core/edge/contact.ts";
import { StoreError } from "../../../core/errors.ts";
import type { NodeId } from "../../../core/identity.ts";
import { RpcServer } from "../../../core/rpc/rpc.ts";
import { Tasks } from "../../../core/tasks.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { realRandom } from "../../support/memory-cluster.ts";
import { microtasks, utf8 } from "../../support/values.ts";

interface Asked {
  readonly host: NodeId;
  readonly join: readonly string[];
  readonly leave: readonly string[];
}

function scene() {
  const clock = new ManualClock(0);
  const telemetry = { event: () => {} };
  const tasks = new Tasks({ clock, telemetry });
  const state = { hosts: ["h1"] as NodeId[], refuses: false };
  const asked: Asked[] = [];
  const contact = {
    hostsFor: () => state.hosts,
    askOne: async (host: NodeId, _method: unknown, request: Omit<Asked, "host">) => {
      asked.push({ host, ...request });
      if (state.refuses) throw new StoreError("overloaded", "too many channels");
      return {};
    },
  } as unknown as Contact;
  const channels = new EdgeChannels({
    contact,
    transport: { tell: () => {} },
    clock,
    random: realRandom,
    tasks,
    telemetry,
  });
  channels.serve(new RpcServer(telemetry));
  return { channels, clock, state, asked };
}

test("a host that refuses a join is asked again ever more seldom, and another one at once", async () => {
  const { channels, clock, state, asked } = scene();
  state.refuses = true;
  channels.join("b", "k", () => {});
  await microtasks();
  for (let ms = 0; ms < 120_000; ms += 500) await clock.advance(500);
  assert.ok(asked.length > 5 && asked.length < 25, `${asked.length} joins in two minutes`);
  state.hosts = ["h2", "h1"] as NodeId[];
  state.refuses = false;
  await clock.advance(500);
  assert.equal(asked.at(-1)!.host, "h2");
});

test("who leaves twice does not end what another has joined since", async () => {
  const { channels, asked } = scene();
  const first = channels.join("b", "k", () => {});
  await microtasks();
  first.leave();
  const heard: Uint8Array[] = [];
  const second = channels.join("b", "k", (body) => heard.push(body));
  const third = channels.join("b", "k", () => {});
  await microtasks();
  first.leave();
  await microtasks();
  assert.equal(asked.filter(({ leave }) => leave.length > 0).length, 1);
  third.send(utf8("still here"));
  assert.equal(heard.length, 1);
  third.leave();
  second.leave();
  await microtasks();
  assert.equal(asked.filter(({ leave }) => leave.length > 0).length, 2);
});
