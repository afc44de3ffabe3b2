/** How a host's settings are found and checked. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type HostFlags, readHostOptions } from "../../node-host/options.ts";

const directory = mkdtempSync(join(tmpdir(), "everwrite-options-"));
after(() => rmSync(directory, { recursive: true }));

function configFile(content: unknown): string {
  const file = join(directory, "config.json");
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

test("without any setting a host founds the default cluster on loopback", () => {
  assert.deepEqual(readHostOptions({}, {}), {
    cluster: "everwrite",
    data: ".everwrite/host",
    dataBytesMax: null,
    identity: null,
    http: { host: "127.0.0.1", port: 7070 },
    httpName: [],
    p2p: ["/ip4/127.0.0.1/tcp/4001"],
    announce: [],
    seed: [],
    zone: "",
    deviceGroup: "",
    capacity: 100,
    partitions: null,
    n: null,
    noJoin: false,
    r: "quorum",
    w: "quorum",
    admission: "open",
    durability: "synced",
    gossip: "on",
    relayReservations: 1_000,
    graceMs: 86_400_000,
    logLevel: "info",
    logFormat: "pretty",
  });
});

test("flags win over variables, variables over the config file, that over defaults", () => {
  const config = configFile({ zone: "file", deviceGroup: "file", capacity: 50, seed: ["/ip4/10.0.0.1/tcp/1"] });
  const env = { EVERWRITE_ZONE: "env", EVERWRITE_DEVICE_GROUP: "env", EVERWRITE_CONFIG: config };
  const options = readHostOptions({ zone: ["flag"] }, env);
  assert.deepEqual(
    [options.zone, options.deviceGroup, options.capacity, options.seed, options.n],
    ["flag", "env", 50, ["/ip4/10.0.0.1/tcp/1"], null],
  );
});

test("a list may be repeated as a flag, separated in a variable, a list in the file", () => {
  const seeds = ["/ip4/10.0.0.1/tcp/1", "/dns4/a.example/tcp/2"];
  assert.deepEqual(readHostOptions({ seed: seeds }, {}).seed, seeds);
  assert.deepEqual(readHostOptions({}, { EVERWRITE_SEED: seeds.join(",") }).seed, seeds);
  assert.deepEqual(readHostOptions({}, { EVERWRITE_SEED: seeds.join(" ") }).seed, seeds);
  assert.deepEqual(readHostOptions({ config: configFile({ seed: seeds, p2p: [] }) }, {}).p2p, []);
});

test("an address to listen on may be IPv6, any port, or the URL that the client verbs use", () => {
  const http = (text: string): object => readHostOptions({ http: [text] }, {}).http;
  assert.deepEqual(http("[::1]:0"), { host: "::1", port: 0 });
  assert.deepEqual(http("0.0.0.0:80"), { host: "0.0.0.0", port: 80 });
  assert.deepEqual(http("http://localhost:7071/"), { host: "localhost", port: 7071 });
});

test("a quorum is held against the copies that are known: those of a cluster to join are not", () => {
  const seed = ["/ip4/10.0.0.1/tcp/1"];
  assert.equal(readHostOptions({ w: ["4"], seed }, {}).w, 4);
  assert.equal(readHostOptions({ n: ["5"], w: ["4"], seed }, {}).w, 4);
});

test("a mistake is named with where it is and what is right", () => {
  const cases: [HostFlags, Record<string, string>, RegExp][] = [
    [{ http: ["7070"] }, {}, /^--http: "7070" is not HOST:PORT such as/],
    [{ http: ["a:65536"] }, {}, /^--http/],
    [{ p2p: ["127.0.0.1:4001"] }, {}, /^--p2p: "127.0.0.1:4001" is not a multiaddr such as/],
    [{ partitions: ["1000"] }, {}, /^--partitions: "1000" is not a power of two/],
    [{ capacity: ["0"] }, {}, /^--capacity/],
    [{ dataBytesMax: ["1000000"] }, {}, /^--data-bytes-max: "1000000" is not a whole number from 33554432 on/],
    [{ cluster: [""] }, {}, /^--cluster: "" is not a text that is not empty/],
    [{ n: ["2"], w: ["3"] }, {}, /^--w 3 can never be met: there are only --n 2 copies/],
    [{}, { EVERWRITE_DURABILITY: "maybe" }, /^EVERWRITE_DURABILITY: "maybe" is not one of synced, buffered/],
    [{ config: configFile({ zones: "a" }) }, {}, /config.json: unknown zones; known are cluster, data, /],
    [{ config: join(directory, "none.json") }, {}, /none.json cannot be read: ENOENT/],
  ];
  for (const [flags, env, message] of cases)
    assert.throws(() => readHostOptions(flags, env), { code: "bad-request", message });
  for (const [content, message] of [
    [{ capacity: 1.5 }, /^"capacity" in .*config.json: "1.5" is not an integer/],
    [{ zone: { a: 1 } }, /^"zone" in the config file must be a text, a number, true or false, or a list of them/],
    [[], /must hold a JSON object/],
    ["{", /cannot be read/],
  ] as const) {
    assert.throws(() => readHostOptions({ config: configFile(content) }, {}), { code: "bad-request", message });
  }
});
