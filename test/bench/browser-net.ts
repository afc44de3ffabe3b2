/** Requests per second of a page: to a Node process over WebSocket, and to a page of another browser over WebRTC. */
import type { NodeId } from "../../core/identity.ts";
import { connect, NetworkPage } from "../browser/network-page.ts";
import { servePage } from "../browser/page-server.ts";
import { Libp2pNodes } from "../support/libp2p-nodes.ts";
import { RelayProcess } from "../support/relay-process.ts";
import type { Bench, Table } from "../tools/trial.ts";

const inFlightSteps = [1, 16, 64];
const bodyBytes = 256;

export const bench: Bench = {
  name: "browser-net",
  summary: "requests per second of a page in Chromium to a Node process and to another page",
  async run({ short }) {
    await using server = await servePage(new URL("../browser/pages/network.js", import.meta.url));
    await using relay = await RelayProcess.start();
    const nodes = new Libp2pNodes("/ip4/127.0.0.1/tcp/0/ws");
    const host = await nodes.start("host");
    host.transport.serve(async (_from, body) => body);
    const seeds = [host.address, relay.address];
    const [page, other] = [await NetworkPage.open(server.url, seeds), await NetworkPage.open(server.url, seeds)];
    await page.tab.call("meet", host.address);
    await connect(page, other);

    const rows: Table["rows"][number][] = [];
    for (const [to, id] of [
      ["Node process, WebSocket", host.transport.self],
      ["page of another browser, WebRTC", other.id as NodeId],
    ] as const) {
      for (const inFlight of inFlightSteps) {
        const perSecond = await page.tab.call("requestsPerSecond", id, bodyBytes, inFlight, short ? 500 : 3_000);
        rows.push({ to, "in flight": inFlight, "per second": Math.round(perSecond) });
      }
    }
    await Promise.all([page, other].map((each) => each[Symbol.asyncDispose]()));
    await nodes.close();
    return [{ title: `${bodyBytes} bytes each way`, rows }];
  },
};
