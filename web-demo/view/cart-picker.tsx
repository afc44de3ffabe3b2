/** Several carts of one visitor, each to be shared by its link. */
import { useEffect, useState } from "preact/hooks";
import type { CartSession } from "../model/cart-session.ts";
import type { ShopModel } from "../model/shop-model.ts";
import { useObservable } from "./hooks.ts";

export function CartPicker({ model }: { readonly model: ShopModel }) {
  const session = useObservable(model.session);
  const { carts } = useObservable(model.visitor);
  const names = useNames(model, carts);
  const { settings } = useObservable(session.state);
  return (
    <div class="picker">
      {carts.length > 1 && (
        <label>
          <span class="hidden">Which cart</span>
          <select value={session.id} onChange={(event) => void model.openCart(event.currentTarget.value)}>
            {carts.map((id) => (
              <option key={id} value={id}>
                {id === session.id ? settings.name : (names.get(id) ?? "A cart")}
              </option>
            ))}
          </select>
        </label>
      )}
      <button class="quiet" type="button" onClick={() => void model.openCart()}>
        New cart
      </button>
      <Share session={session} />
      <Rename key={session.id} session={session} />
      {carts.length > 1 && (
        <button class="quiet" type="button" onClick={() => void model.putCartAway(session.id)}>
          Put away
        </button>
      )}
    </div>
  );
}

function Share({ session }: { readonly session: CartSession }) {
  const [isShown, show] = useState(false);
  const link = linkTo(session.id);
  return (
    <>
      <button class="quiet" type="button" aria-expanded={isShown} onClick={() => show(!isShown)}>
        Share
      </button>
      {isShown && (
        <p class="share">
          <label>
            Whoever has this link shares the cart:
            <input readOnly value={link} onFocus={(event) => event.currentTarget.select()} />
          </label>
          <button type="button" onClick={() => void navigator.clipboard.writeText(link)}>
            Copy
          </button>
        </p>
      )}
    </>
  );
}

function Rename({ session }: { readonly session: CartSession }) {
  const [isShown, show] = useState(false);
  const rename = (event: SubmitEvent): void => {
    event.preventDefault();
    const name = new FormData(event.currentTarget as HTMLFormElement).get("name");
    show(false);
    if (typeof name === "string" && name.trim() !== "") void session.rename(name.trim());
  };
  return (
    <>
      <button class="quiet" type="button" aria-expanded={isShown} onClick={() => show(!isShown)}>
        Rename
      </button>
      {isShown && (
        <form class="share" onSubmit={rename}>
          <label>
            Name of this cart:
            <input name="name" maxLength={60} defaultValue={session.state.value.settings.name} />
          </label>
          <button type="submit">Save</button>
        </form>
      )}
    </>
  );
}

/** Of another device: it has a store of its own. */
export function linkTo(cart: string, device?: string): string {
  const url = new URL(location.href);
  if (device === undefined) url.searchParams.delete("device");
  else url.searchParams.set("device", device);
  url.hash = `#/join/${cart}`;
  return url.href;
}

function useNames(model: ShopModel, carts: readonly string[]): ReadonlyMap<string, string> {
  const [names, setNames] = useState<ReadonlyMap<string, string>>(new Map());
  useEffect(() => {
    void Promise.all(carts.map(async (id) => [id, await model.cartName(id)] as const)).then((known) =>
      setNames(new Map(known)),
    );
  }, [carts]);
  return names;
}
