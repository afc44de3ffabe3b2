/** What the visitor has bought, latest first. */
import { price } from "../catalogue.ts";
import { contents } from "../model/happenings.ts";
import type { ShopModel } from "../model/shop-model.ts";
import { useObservable } from "./hooks.ts";

const dates = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

export function OrdersView({ model }: { readonly model: ShopModel }) {
  const orders = useObservable(model.orders).toReversed();
  return (
    <section class="page" aria-labelledby="orders-title">
      <h1 id="orders-title">Your orders</h1>
      {orders.length === 0 && <p class="empty">You have not bought anything yet.</p>}
      <ol class="orders">
        {orders.map(({ id, cart, timeMs, cents }) => (
          <li key={id}>
            <span class="order-time">{dates.format(timeMs)}</span>
            <span>{contents(cart)}</span>
            <strong>{price(cents)}</strong>
          </li>
        ))}
      </ol>
    </section>
  );
}
