/** From a cart to an order. It works offline too: the order is on this device then, and says so. */
import { useState } from "preact/hooks";
import { articleOf, inShelfOrder, price, sumOf } from "../catalogue.ts";
import type { ShopModel } from "../model/shop-model.ts";
import type { Order } from "../store/orders.ts";
import { useObservable } from "./hooks.ts";
import { Picture } from "./pictures.tsx";
import { SavedMark } from "./saved-mark.tsx";

export function Checkout({ model }: { readonly model: ShopModel }) {
  const session = useObservable(model.session);
  const { cart, versions } = useObservable(session.state);
  const entries = useObservable(session.changes.entries);
  const [placed, setPlaced] = useState<Order>();
  const [isBusy, setBusy] = useState(false);
  const lines = inShelfOrder(placed?.cart.lines ?? cart.lines);
  const place = async (): Promise<void> => {
    setBusy(true);
    setPlaced(await model.checkOut());
    setBusy(false);
  };
  const written = entries.find(({ what }) => what === "Order placed");
  return (
    <section class="page" aria-labelledby="checkout-title">
      <h1 id="checkout-title">{placed === undefined ? "Check out" : "Thank you"}</h1>
      {placed !== undefined && (
        <p role="status">
          Your order is placed{written !== undefined && <SavedMark saved={written.saved} copies={model.copies} />}
        </p>
      )}
      {lines.length === 0 && <p class="empty">There is nothing to buy in this cart.</p>}
      <ul class="lines">
        {lines.map(({ article, quantity }) => (
          <li key={article} class="line">
            <Picture of={article} size={44} />
            <span class="line-name">
              {quantity} × {articleOf(article).name}
            </span>
            <span class="line-sum">{price(articleOf(article).cents * quantity)}</span>
          </li>
        ))}
      </ul>
      {lines.length > 0 && (
        <p class="sum">
          <span>Sum</span>
          <strong>{price(sumOf(lines))}</strong>
        </p>
      )}
      {placed === undefined ? (
        <>
          {versions.length > 0 && <p>Merge the versions of your cart first.</p>}
          <button
            class="wide"
            type="button"
            disabled={isBusy || lines.length === 0 || versions.length > 0}
            onClick={() => void place()}
          >
            Place the order
          </button>
          <p class="about">This is a demonstration: nothing is sold, nothing is paid, nothing will arrive.</p>
        </>
      ) : (
        <p>
          <a class="button" href="#/orders">
            All your orders
          </a>{" "}
          <a class="button quiet" href="#/">
            Back to the shelves
          </a>
        </p>
      )}
    </section>
  );
}
