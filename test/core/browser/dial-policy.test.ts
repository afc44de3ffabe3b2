import assert from "node:assert/strict";
import { test } from "node:test";
import { multiaddr } from "@multiformats/multiaddr";
import { dialPolicy } from "../../../core/browser/dial-policy.ts";

const relay = "/p2p/12D3KooWQiyUCoP1wAAHERGFLZyfzZt66pAEGdCbqiNvD2PnLwnY";
const page = "/p2p/12D3KooWAVBcRb3nCUDpGnVy6nSngm7NYpe6ansRAYL56Ebg9LMy";

const addresses = {
  secure: "/dns4/host.example/tcp/443/wss",
  securePath: `/dns6/host.example/tcp/443/tls/ws${relay}`,
  plain: "/dns4/host.example/tcp/80/ws",
  plainIp: "/ip4/93.184.216.34/tcp/80/ws",
  lan: "/ip4/192.168.1.7/tcp/4002/ws",
  lan6: "/ip6/fd00::1/tcp/4002/ws",
  mdns: "/dns/printer.local/tcp/4002/ws",
  secureLan: "/ip4/10.1.2.3/tcp/443/wss",
  loopback: "/ip4/127.0.0.1/tcp/4002/ws",
  loopback6: "/ip6/::1/tcp/4002/ws",
  localhost: "/dns4/localhost/tcp/4002/ws",
} as const;

type Name = keyof typeof addresses;
const all = Object.keys(addresses) as Name[];

function dialled(...seeds: readonly Name[]): Name[] {
  const mayDial = dialPolicy(seeds.map((seed) => addresses[seed]));
  const direct = all.filter((name) => mayDial(multiaddr(addresses[name])));
  // The way to a page is as good as that to the relay that introduces it.
  for (const name of all) {
    const base = addresses[name].endsWith(relay) ? addresses[name] : addresses[name] + relay;
    assert.equal(mayDial(multiaddr(`${base}/p2p-circuit/webrtc${page}`)), direct.includes(name), name);
  }
  return direct;
}

test("a page with public seeds dials public addresses, encrypted ones alone unless a seed is not", () => {
  assert.deepEqual(dialled("secure"), ["secure", "securePath"]);
  assert.deepEqual(dialled("plainIp"), ["secure", "securePath", "plain", "plainIp"]);
});

test("a page with a seed in the own network dials there, and with one on the own machine here", () => {
  assert.deepEqual(dialled("secureLan"), ["secure", "securePath", "secureLan"]);
  assert.deepEqual(
    dialled("mdns"),
    all.filter((name) => !/loop|localhost/.test(name)),
  );
  assert.deepEqual(dialled("localhost"), all);
  assert.deepEqual(dialled("loopback6", "secure"), all);
});

test("a page dials nothing that is no WebSocket, or that begins nowhere", () => {
  const mayDial = dialPolicy([addresses.loopback]);
  for (const address of [
    "/ip4/127.0.0.1/tcp/4001",
    "/ip4/127.0.0.1/udp/4001/quic-v1",
    `/webrtc${page}/p2p-circuit`,
    `${relay}/p2p-circuit${page}`,
    `/webrtc${page}`,
    "/unix/socket",
  ]) {
    assert.equal(mayDial(multiaddr(address)), false, address);
  }
});

test("a seed that is no address is refused", () => {
  assert.throws(() => dialPolicy(["http://host.example"]), Error);
});
