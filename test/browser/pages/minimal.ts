/** What the smallest application loads to reach others. */
import { openPageNetwork } from "../../../core/browser/network.ts";
import { systemClock } from "../../../core/libp2p/system-ports.ts";
import { makeKey } from "../../../core/libp2p/identity.ts";
import { expose } from "../expose.ts";

expose({
  open: async (seeds: readonly string[], meetPages: boolean) =>
    (await openPageNetwork({ key: await makeKey(), seeds, meetPages, clock: systemClock })).addresses(),
});
