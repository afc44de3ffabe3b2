/** The cart, and what becomes of each change of it. */
import { articleOf, inShelfOrder, price, sumOf } from "../catalogue.ts";
import type { CartSession } from "../model/cart-session.ts";
import type { ShopModel } from "../model/shop-model.ts";
import type { CartLine } from "../store/cart.ts";
import { CartPicker } from "./cart-picker.tsx";
import { useObservable } from "./hooks.ts";
import { Picture } from "./pictures.tsx";
import { RuleChooser } from "./rule-chooser.tsx";
import { SavedMark } from "./saved-mark.tsx";
import { Versions } from "./versions.tsx";

/** `isAlone`: it is what the page shows. */
export function CartPanel({ model, isAlone }: { readonly model: ShopModel; readonly isAlone: boolean }) {
  const Title = isAlone ? "h1" : "h2";
  const session = useObservable(model.session);
  const { cart, settings, versions, isLoaded } = useObservable(session.state);
  const { connected, settled } = useObservable(model.status);
  const lines = inShelfOrder(cart.lines);
  return (
    <aside class="cart" aria-labelledby="cart-title">
      <Title id="cart-title">{settings.name}</Title>
      <CartPicker model={model} />
      {versions.length > 0 ? (
        <Versions key={versions.length} session={session} versions={versions} />
      ) : lines.length === 0 ? (
        <p class="empty">{isLoaded && settled ? "Nothing in it yet." : unknownWords(connected)}</p>
      ) : (
        <>
          <ul class="lines">
            {lines.map((line) => (
              <Line key={line.article} session={session} line={line} />
            ))}
          </ul>
          <p class="sum">
            <span>Sum</span>
            <strong>{price(sumOf(lines))}</strong>
          </p>
          <a class="button wide" href="#/checkout">
            Check out
          </a>
        </>
      )}
      <ChangeList model={model} session={session} />
      <RuleChooser session={session} />
    </aside>
  );
}

/** Hosts may have what this device has not been told. */
function unknownWords(connected: boolean): string {
  const why = connected ? "too few of its hosts have answered so far" : "no host answers";
  return `Nothing in it that this device knows of: ${why}. You can add to it meanwhile.`;
}

function Line({ session, line: { article, quantity } }: { readonly session: CartSession; readonly line: CartLine }) {
  const { name, cents } = articleOf(article);
  const set = (wanted: number) => () => void session.setQuantity(article, wanted);
  return (
    <li class="line">
      <Picture of={article} size={44} />
      <span class="line-name">{name}</span>
      <span class="stepper">
        <button
          type="button"
          aria-label={quantity === 1 ? `Take ${name} out` : `One ${name} less`}
          onClick={set(quantity - 1)}
        >
          −
        </button>
        <span aria-label={`${quantity} of ${name}`} role="status">
          {quantity}
        </span>
        <button type="button" aria-label={`One ${name} more`} onClick={set(quantity + 1)}>
          +
        </button>
      </span>
      <span class="line-sum">{price(cents * quantity)}</span>
      <button class="plain" type="button" aria-label={`Remove ${name}`} onClick={set(0)}>
        ×
      </button>
    </li>
  );
}

function ChangeList({ model, session }: { readonly model: ShopModel; readonly session: CartSession }) {
  const entries = useObservable(session.changes.entries);
  const { connected, pending } = useObservable(model.status);
  // Of before the page was opened, or of another cart.
  const waiting = connected || entries.length > 0 ? 0 : pending;
  if (entries.length + waiting === 0) return null;
  return (
    <section class="changes" aria-labelledby="changes-title">
      <h2 id="changes-title">Where your changes are</h2>
      {waiting > 0 && (
        <p class="empty">
          {waiting} {waiting === 1 ? "change waits" : "changes wait"} on this device, not sent yet.
        </p>
      )}
      <ol>
        {entries.map(({ number, what, saved }) => (
          <li key={number} value={number}>
            <span>{what}</span>
            <SavedMark saved={saved} copies={model.copies} />
          </li>
        ))}
      </ol>
    </section>
  );
}
