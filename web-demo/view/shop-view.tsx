/** The shelves: what there is, found by words. */
import { useState } from "preact/hooks";
import { type Article, price, search } from "../catalogue.ts";
import type { Lab } from "../model/lab.ts";
import type { ShopModel } from "../model/shop-model.ts";
import { quantityOf } from "../store/cart.ts";
import { useObservable } from "./hooks.ts";
import { Picture } from "./pictures.tsx";
import { Welcome } from "./welcome.tsx";

export function ShopView({ model, ring }: { readonly model: ShopModel } & Pick<Lab, "ring">) {
  const [text, setText] = useState("");
  const found = search(text);
  return (
    <section class="shelves" aria-labelledby="shelves-title">
      <Welcome ring={ring} />
      <div class="shelves-head">
        <h2 id="shelves-title">On the shelves</h2>
        <label class="search">
          <span class="hidden">Search the shop</span>
          <input
            type="search"
            placeholder="Search: tea, desk, wool …"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
      </div>
      <p class="hidden" role="status">
        {found.length} articles
      </p>
      {found.length === 0 && <p class="empty">Nothing here is called “{text}”.</p>}
      <ul class="goods">
        {found.map((article) => (
          <li key={article.id}>
            <Good model={model} article={article} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Good({ model, article }: { readonly model: ShopModel; readonly article: Article }) {
  const session = useObservable(model.session);
  const { cart, versions, isRuleKnown } = useObservable(session.state);
  const quantity = quantityOf(cart, article.id);
  const isBlocked = versions.length > 0 || !isRuleKnown;
  return (
    <article class="item">
      <Picture of={article.id} />
      <h3>{article.name}</h3>
      <p class="about">{article.about}</p>
      <div class="buy">
        <span class="price">{price(article.cents)}</span>
        <button
          type="button"
          onClick={() => void session.add(article.id)}
          disabled={isBlocked}
          title={versions.length > 0 ? "Merge the versions of your cart first" : undefined}
        >
          Add<span class="hidden"> {article.name} to the cart</span>
          {quantity > 0 && <span class="count">{quantity}</span>}
        </button>
      </div>
    </article>
  );
}
