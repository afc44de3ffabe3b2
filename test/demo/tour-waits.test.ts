/** What the tour's scenes wait for: nothing that a dead host, a refusal or a busy machine could keep from coming. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Control, type HostView } from "../../web-demo/model/control.ts";
import { scenes, type Stage } from "../../web-demo/model/tour.ts";
import { eventually } from "../support/eventually.ts";

const hostView = (number: number, state: HostView["state"]): HostView => {
  return { number, state, id: `id${number}`, url: "", isFull: false, pid: number };
};

/** The demo's server, as far as the page asks it: what it does with a change, and with a question for a host's status. */
class FakeServer {
  hosts: readonly HostView[];
  readonly asked: string[] = [];
  onChange: (path: string) => object | Error = () => ({});
  onStatus: (number: number) => object | Error = () => ({ partitions: { owned: 1, everywhere: { filling: 0 } } });

  constructor(hosts: readonly HostView[]) {
    this.hosts = hosts;
  }

  begin(t: TestContext): void {
    t.mock.method(globalThis, "fetch", async (path: string, { method }: { method: string }) => {
      const answer = this.#answer(path.replace("control/", ""), method);
      if (answer instanceof Error) return Response.json({ error: { message: answer.message } }, { status: 503 });
      return Response.json(answer);
    });
  }

  set(number: number, state: HostView["state"]): void {
    this.hosts = [...this.hosts.filter((host) => host.number !== number), hostView(number, state)].toSorted(
      (a, b) => a.number - b.number,
    );
  }

  #answer(path: string, method: string): object | Error {
    if (method === "POST") {
      this.asked.push(path);
      return this.onChange(path);
    }
    if (path === "hosts") return { hosts: this.hosts };
    if (path === "relay") return { isRunning: true };
    const [, number] = /^hosts\/(\d+)\/status$/.exec(path) ?? [];
    return number === undefined ? new Error(`nobody asks for ${path}`) : this.onStatus(Number(number));
  }
}

interface Scene {
  readonly stage: Stage;
  readonly control: Control;
  readonly waitedFor: string[];
  readonly leave: () => void;
}

/** Of the fourth scene, which is about hosts alone: its devices are not looked at. */
function stageOf(t: TestContext): Scene {
  const control = new Control("token");
  t.after(control.look());
  const leaving = new AbortController();
  const waitedFor: string[] = [];
  const nobody = undefined as unknown as Stage["here"];
  const waitsFor = (what: string): void => void waitedFor.push(what);
  const stage = { here: nobody, there: nobody, control, left: leaving.signal, waitsFor };
  return { stage, control, waitedFor, leave: () => leaving.abort(new Error("left")) };
}

const [join, , leave] = scenes[3]!.steps as [
  { play(stage: Stage): Promise<void> },
  unknown,
  { play(stage: Stage): Promise<void> },
];

test("a host joins although another is dead, takes its time, and is once too busy to tell of itself", async (t) => {
  const server = new FakeServer([hostView(1, "running"), hostView(2, "stopped"), hostView(4, "running")]);
  server.begin(t);
  server.onChange = () => {
    server.set(3, "starting"); // the place of one that has left: not the last
    setTimeout(() => server.set(3, "running"), 300);
    return hostView(3, "starting");
  };
  let statusAsked = 0;
  server.onStatus = (number) => {
    assert.equal(number, 3);
    statusAsked += 1;
    if (statusAsked === 1) return new Error("host 3 does not answer");
    return { partitions: { owned: statusAsked > 2 ? 5 : 0, everywhere: { filling: 0 } } };
  };
  const { stage, waitedFor } = stageOf(t);
  await join.play(stage);
  assert.deepEqual(server.asked, ["hosts"]);
  assert.deepEqual(waitedFor.slice(-2), ["host 3 to be ready", "host 3 to have all of its share"]);
});

test("a host that cannot be added is told, not waited for", async (t) => {
  const server = new FakeServer([hostView(1, "running")]);
  server.begin(t);
  server.onChange = () => new Error("32 hosts are enough for one machine");
  const { stage } = stageOf(t);
  await assert.rejects(join.play(stage), /32 hosts are enough/);
});

test("a host leaves although it is refused at first, and although the answer is lost that lets it", async (t) => {
  const server = new FakeServer([1, 2, 3, 4].map((number) => hostView(number, "running")));
  server.begin(t);
  server.onChange = (path) => {
    assert.equal(path, "hosts/4/leave");
    if (server.asked.length === 1) return new Error("host 4 refused: partitions are filling");
    setTimeout(() => (server.hosts = server.hosts.filter(({ number }) => number !== 4)), 200);
    return new Error("host 4 does not answer");
  };
  await leave.play(stageOf(t).stage);
  assert.ok(server.asked.length >= 2);
});

test("who leaves the scene waits no longer", async (t) => {
  const server = new FakeServer([1, 2, 3].map((number) => hostView(number, "running")));
  server.begin(t);
  server.onChange = () => hostView(9, "starting"); // it is never there
  const scene = stageOf(t);
  const playing = join.play(scene.stage);
  await eventually(() => scene.waitedFor.at(-1) === "host 9 to be ready", "the scene to wait");
  scene.leave();
  await assert.rejects(playing, /left/);
});

test("what was refused is told until something else is done, also while the hosts are looked at", async (t) => {
  const server = new FakeServer([hostView(1, "running")]);
  server.begin(t);
  const { control } = stageOf(t);
  server.onChange = () => new Error("not now");
  assert.equal(await control.act(1, "leave"), false);
  await control.refresh();
  assert.equal(control.problem.value, "not now");
  server.onChange = () => ({});
  assert.equal(await control.act(1, "pause"), true);
  assert.equal(control.problem.value, undefined);
});
