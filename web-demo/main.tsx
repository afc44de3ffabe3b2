/** The page: opens the store, and draws the shop over it. */
import { openStore } from "everwrite/browser";
import { render } from "preact";
import { loadConfig } from "./config.ts";
import { Lab } from "./model/lab.ts";
import { ShopModel } from "./model/shop-model.ts";
import { keepOffline } from "./offline.ts";
import { Shop, type ShopSchema } from "./store/shop.ts";
import { App } from "./view/app.tsx";

const root = document.getElementById("root")!;

try {
  const query = new URLSearchParams(location.search);
  const device = query.get("device") ?? "page";
  const config = await loadConfig(query);
  const { cluster: name, seeds, copies } = config;
  // Resolves as soon as this browser's storage is open; the hosts are looked for meanwhile.
  const lab = new Lab(config, device);
  const { networkSwitch } = lab;
  const store = await openStore<ShopSchema>({ name, seeds, database: `${name} ${device}`, networkSwitch });
  const model = await ShopModel.open(new Shop(store), copies);
  render(<App model={model} lab={lab} />, root);
} catch (error: unknown) {
  render(<CannotOpen reason={error instanceof Error ? error.message : String(error)} />, root);
}
await keepOffline();

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
