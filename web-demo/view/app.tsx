/** The frame of the page: where one is, where one can go, and how the store is. */
import { useEffect } from "preact/hooks";
import type { Lab } from "../model/lab.ts";
import type { ShopModel } from "../model/shop-model.ts";
import type { Player } from "../model/tour.ts";
import { CartPanel } from "./cart-panel.tsx";
import { Checkout } from "./checkout.tsx";
import { Devices } from "./devices.tsx";
import { HoodView } from "./hood-view.tsx";
import { useObservable, useRoute } from "./hooks.ts";
import { LabView } from "./lab-view.tsx";
import { linkToRing } from "./opening.tsx";
import { OrdersView } from "./orders-view.tsx";
import { ShopView } from "./shop-view.tsx";
import { StatusPill } from "./status-pill.tsx";
import { TourView } from "./tour-view.tsx";

/** Address -> name in the menu. */
const places: readonly (readonly [route: string, name: string])[] = [
  ["", "Shop"],
  ["orders", "Orders"],
  ["tour", "Tour"],
  ["devices", "Two devices"],
  ["lab", "Break things"],
  ["hood", "Under the hood"],
];

/** In a frame of "Two devices" there is room for the cart and little else. */
const isFramed = window.top !== window;

interface AppProps {
  readonly model: ShopModel;
  readonly lab: Lab;
  readonly openOther: () => Promise<Player>;
}

export function App({ model, lab, openOther }: AppProps) {
  const [place = "", detail, step] = useRoute();
  useEffect(() => {
    if (place !== "join" || detail === undefined) return;
    void model.openCart(detail).then(() => location.replace("#/"));
  }, [place, detail]);
  return (
    <div class={isFramed ? "app framed" : "app"}>
      <a class="skip" href="#main" onClick={skipToMain}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#/">
          <span class="brand-mark" aria-hidden="true">
            ∞
          </span>
          The Everwrite Shop
        </a>
        <nav aria-label="Places">
          {places.map(([route, name]) => (
            <a key={route} href={`#/${route}`} aria-current={route === place ? "page" : undefined}>
              {name}
            </a>
          ))}
          <CartLink model={model} isHere={place === "cart"} />
        </nav>
        <StatusPill model={model} lab={lab} />
      </header>
      <main id="main" tabIndex={-1}>
        {place === "tour" && lab.ring === "browsers" ? (
          <TourElsewhere />
        ) : place === "tour" ? (
          <TourView model={model} lab={lab} openOther={openOther} at={[Number(detail ?? 0), Number(step ?? 0)]} />
        ) : (
          <Place place={place} model={model} lab={lab} />
        )}
      </main>
    </div>
  );
}

function Place({ place, model, lab }: { readonly place: string; readonly model: ShopModel; readonly lab: Lab }) {
  switch (place) {
    case "orders":
      return <OrdersView model={model} />;
    case "checkout":
      return <Checkout model={model} />;
    case "devices":
      return <Devices model={model} />;
    case "lab":
      return <LabView lab={lab} />;
    case "hood":
      return <HoodView model={model} lab={lab} />;
    default:
      return (
        <div class={place === "cart" ? "shop shows-cart" : "shop"}>
          <ShopView model={model} ring={lab.ring} />
          <CartPanel model={model} isAlone={place === "cart"} />
        </div>
      );
  }
}

/** Its scenes are of hosts that die and join. */
function TourElsewhere() {
  return (
    <section class="page" aria-labelledby="tour-title">
      <h1 id="tour-title">The tour</h1>
      <p>Its scenes are played with the hosts of this machine; here there are none but the browsers.</p>
      <p>
        <a class="button" href={linkToRing("hosts")}>
          To the shop on hosts
        </a>
      </p>
    </section>
  );
}

/** Where the cart is not beside the catalogue. */
function CartLink({ model, isHere }: { readonly model: ShopModel; readonly isHere: boolean }) {
  const { cart } = useObservable(useObservable(model.session).state);
  const count = cart.lines.reduce((sum, { quantity }) => sum + quantity, 0);
  return (
    <a class="cart-link" href="#/cart" aria-current={isHere ? "page" : undefined}>
      Cart <span class="count">{count}</span>
      <span class="hidden"> items</span>
    </a>
  );
}

/** The address holds the place already, so the link must not change it. */
function skipToMain(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
