/**
 * All three hosts killed at once, again and again, at a random moment under load over HTTP and the native protocol.
 */
import { complaintsOf, writeUntil } from "../support/checked-load.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { httpStore } from "../support/key-store.ts";
import { Ledger } from "../support/ledger.ts";
import { nativeClient } from "../support/native-client.ts";
import type { Trial } from "../tools/trial.ts";

export const trial: Trial = {
  name: "kill-all",
  summary: "no acknowledged write is missing, none is back and none corrupt after kill -9 of all hosts, 20 times",
  async run(context) {
    const { short, folder, signal } = context;
    await using hosts = await HostProcesses.of(3, folder);
    const ledgers = [new Ledger("http"), new Ledger("native")] as const;
    const complaints: string[] = [];
    const rounds = short ? 4 : 20;
    let returnMs = 0;
    for (let round = 1; round <= rounds && !signal.aborted; round++) {
      const stores = [httpStore(hosts.urls), await nativeClient(hosts.addresses)] as const;
      const stop = new AbortController();
      const writing = ledgers.map((ledger, i) =>
        writeUntil(stop.signal, stores[i]!, { ledger, writers: 24, keys: 500 }),
      );
      // Not before it has begun, and then at any moment: in a quiet one, in a compaction, in the middle of a flush.
      const before = ledgers.map((ledger) => ledger.acknowledged);
      await eventually(() => ledgers.every((ledger, i) => ledger.acknowledged > before[i]!), "the first writes");
      await new Promise((resolve) => setTimeout(resolve, Math.random() * (short ? 1_000 : 4_000)));
      await hosts.killAll();
      stop.abort();
      await Promise.all(writing);
      const killedMs = performance.now();
      await hosts.startAll();
      returnMs = Math.max(returnMs, performance.now() - killedMs);
      // Through the other protocol than they were written by.
      for (const [i, ledger] of ledgers.entries()) complaints.push(...(await complaintsOf(ledger, stores[1 - i]!)));
      await Promise.all(stores.map((store) => store.stop()));
      context.log(
        `round ${round}: ${ledgers.map((l) => l.acknowledged).join(" + ")} acknowledged, ${complaints.length} complaints`,
      );
    }
    const acknowledged = ledgers.reduce((sum, ledger) => sum + ledger.acknowledged, 0);
    return {
      figures: [
        { name: "rounds", value: rounds, unit: "" },
        { name: "acknowledged writes", value: acknowledged, unit: "" },
        { name: "missing, risen or corrupt", value: complaints.length, unit: "", bar: { atMost: 0 } },
        { name: "slowest return of all three, no help given", value: returnMs, unit: "ms" },
      ],
      failures: complaints.slice(0, 20),
    };
  },
};
