/** Siblings side by side: the visitor merges by hand. */
import { useState } from "preact/hooks";
import { articleOf, inShelfOrder } from "../catalogue.ts";
import type { CartSession } from "../model/cart-session.ts";
import { type Cart, quantityMax, quantityOf, unionOfCarts, withQuantity } from "../store/cart.ts";

export function Versions({ session, versions }: { readonly session: CartSession; readonly versions: readonly Cart[] }) {
  const union = unionOfCarts(versions);
  const [merged, setMerged] = useState(union);
  const rows = inShelfOrder(union.lines);
  return (
    <form
      class="versions"
      onSubmit={(event) => {
        event.preventDefault();
        void session.resolve(merged);
      }}
    >
      <p>
        <strong>{versions.length} versions of this cart</strong> were written without knowledge of each other. Choose
        what to keep.
      </p>
      <table>
        <thead>
          <tr>
            <th scope="col">Article</th>
            {versions.map((_, index) => (
              <th key={index} scope="col">
                Version {index + 1}
              </th>
            ))}
            <th scope="col">Keep</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ article }) => {
            const { name } = articleOf(article);
            return (
              <tr key={article}>
                <th scope="row">{name}</th>
                {versions.map((version, index) => (
                  <td key={index}>{quantityOf(version, article) || "–"}</td>
                ))}
                <td>
                  <input
                    type="number"
                    min={0}
                    max={quantityMax}
                    aria-label={`Keep of ${name}`}
                    value={quantityOf(merged, article)}
                    onInput={(event) => setMerged(withQuantity(merged, article, Number(event.currentTarget.value)))}
                  />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      <button class="wide" type="submit">
        Keep these
      </button>
    </form>
  );
}
