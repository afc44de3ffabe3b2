/** How the store is, in a few words: three facts of `store.status()`, of which none follows from another. */
import type { Lab } from "../model/lab.ts";
import type { ShopModel } from "../model/shop-model.ts";
import { useObservable } from "./hooks.ts";

export function StatusPill({ model, lab }: { readonly model: ShopModel; readonly lab: Lab }) {
  const { network, isFull } = useObservable(lab.faults);
  const { connected, settled, pending, parked } = useObservable(model.status);
  const [tone, text] = isFull
    ? ["away", "No room on this device"]
    : connected
      ? settled || pending === 0
        ? ["good", "Connected, all is sent"]
        : ["busy", `Connected, sending ${pending}`]
      : pending === 0
        ? ["away", "Offline: go on shopping"]
        : ["away", `Offline: ${pending} ${pending === 1 ? "change waits" : "changes wait"}`];
  return (
    <div class="state">
      <p class={`pill ${tone}`} role="status">
        <span class="dot" aria-hidden="true" />
        {text}
        {parked > 0 && `, ${parked} refused`}
      </p>
      <button
        class="quiet"
        type="button"
        aria-pressed={network === "off"}
        onClick={() => lab.setNetwork(network === "off" ? "on" : "off")}
      >
        {network === "off" ? "Go online" : "Go offline"}
      </button>
    </div>
  );
}
