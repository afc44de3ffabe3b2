/** The page: opens the store, and draws the shop over it. */
import { openStore } from "everwrite/browser";
import { render } from "preact";
import { loadConfig, type SiteConfig } from "./config.ts";
import { Lab } from "./model/lab.ts";
import { ShopModel } from "./model/shop-model.ts";
import type { Player } from "./model/tour.ts";
import { keepOffline } from "./offline.ts";
import { Shop, type ShopSchema } from "./store/shop.ts";
import { App } from "./view/app.tsx";

const root = document.getElementById("root")!;

try {
  const query = new URLSearchParams(location.search);
  const config = await loadConfig(query);
  // Who comes by the link of a cart needs no other.
  const [, shared] = /^#\/join\/([^/]+)/.exec(location.hash) ?? [];
  const { model, lab } = await openDevice(config, query.get("device") ?? "page", shared);
  let other: Promise<Player> | undefined;
  const openOther = (): Promise<Player> => (other ??= openDevice(config, "other", model.session.value.id));
  render(<App model={model} lab={lab} openOther={openOther} />, root);
} catch (error: unknown) {
  render(<CannotOpen reason={error instanceof Error ? error.message : String(error)} />, root);
}
await keepOffline();

/** A device is a node: devices of one browser have a database each. */
async function openDevice(config: SiteConfig, device: string, firstCart?: string): Promise<Player> {
  const { cluster: name, seeds, copies } = config;
  const database = `${config.database} ${device}`;
  const lab = new Lab(config, database);
  const { networkSwitch } = lab;
  // Resolves as soon as this browser's storage is open; the hosts are looked for meanwhile.
  const store = await openStore<ShopSchema>({ name, seeds, database, networkSwitch });
  return { model: await ShopModel.open(new Shop(store), copies, firstCart), lab };
}

function CannotOpen({ reason }: { readonly reason: string }) {
  return (
    <main class="page">
      <h1>The shop cannot open</h1>
      <p role="alert">{reason}</p>
      <button type="button" onClick={() => location.reload()}>
        Try again
      </button>
    </main>
  );
}
