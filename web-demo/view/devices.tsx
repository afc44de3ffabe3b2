/** Two devices on one screen: each frame is a page with a store, a key and connections of its own. */
import type { ShopModel } from "../model/shop-model.ts";
import { linkTo } from "./cart-picker.tsx";
import { useObservable } from "./hooks.ts";

/** Stores of this browser beside the page's own. */
const devices = ["left", "right"];

export function Devices({ model }: { readonly model: ShopModel }) {
  const { id } = useObservable(model.session);
  return (
    <section class="devices" aria-labelledby="devices-title">
      <h1 id="devices-title">Two devices, one cart</h1>
      <p>
        Both share your cart by its link, as two phones would. Add something on each and watch it arrive on the other;
        then take one offline, change both, and let it back.
      </p>
      <div class="frames">
        {devices.map((device) => (
          <iframe key={device} title={`The shop on the ${device} device`} src={linkTo(id, device)} />
        ))}
      </div>
    </section>
  );
}
