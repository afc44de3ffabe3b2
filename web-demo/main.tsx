/** The page: opens the store, and draws the shop over it. */
import { type OpenStoreOptions, openStore } from "everwrite/browser";
import { render } from "preact";
import { loadConfig, type SiteConfig } from "./config.ts";
import { Lab } from "./model/lab.ts";
import { ShopModel } from "./model/shop-model.ts";
import type { Player } from "./model/tour.ts";
import { keepOffline } from "./offline.ts";
import { Shop, type ShopSchema } from "./store/shop.ts";
import { App } from "./view/app.tsx";
import { CannotOpen, Joining } from "./view/opening.tsx";

const root = document.getElementById("root")!;
const query = new URLSearchParams(location.search);

try {
  const config = await loadConfig(query);
  // Who comes by the link of a cart needs no other.
  const [, shared] = /^#\/join\/([^/]+)/.exec(location.hash) ?? [];
  if (config.ring === "browsers") render(<Joining />, root);
  const { model, lab } = await openDevice(config, query.get("device") ?? "page", shared);
  let other: Promise<Player> | undefined;
  const openOther = (): Promise<Player> =>
    (other ??= openDevice(config, "other", model.session.value.id).catch((error: unknown) => {
      other = undefined;
      throw error;
    }));
  render(<App model={model} lab={lab} openOther={openOther} />, root);
} catch (error: unknown) {
  const reason = error instanceof Error ? error.message : String(error);
  render(<CannotOpen reason={reason} ring={query.get("ring")} />, root);
}
await keepOffline();

/** A device is a node: devices of one browser have a database each. */
async function openDevice(config: SiteConfig, device: string, firstCart?: string): Promise<Player> {
  const database = `${config.database} ${device}`;
  const lab = new Lab(config, database);
  const store = await openStore<ShopSchema>(storeOptions(config, database, lab));
  const shop = new Shop(store, config.ring === "browsers" ? "one" : "local");
  return { model: await ShopModel.open(shop, config.copies, lab.clock, firstCart), lab };
}

/** An edge is open as soon as this browser's storage is; a host when it has its place on the ring, or founds it as the first. */
function storeOptions(
  { cluster: name, seeds, ring, copies }: SiteConfig,
  database: string,
  { networkSwitch, storageBudget, clock }: Lab,
): OpenStoreOptions {
  const common = { name, seeds, database, networkSwitch, storageBudget, clock };
  if (ring === "hosts") return common;
  // A page that is cut off shows and takes what its own share allows.
  return { ...common, role: "host", found: true, n: copies, r: "one", w: "one" };
}
