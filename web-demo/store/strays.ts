/**
 * The rule of a cart may be switched while a device does not know: what that one writes goes to where the rule was before.
 * Such a stray is a version of the cart like any other, so it is taken along to where the rule is now. Whichever device does
 * so, and when, all that it needs to know is in the buckets: nothing is forgotten with a page that is closed.
 *
 * Invariant: what is deleted in one bucket was written to another before. So nothing is lost, even where somebody does the
 * same at the same time, or the other way; and as carts become one by union, nothing is there twice.
 *
 * As any union, it brings back what was taken out meanwhile. And where the last write wins a switch is a write: it wins over
 * an earlier one.
 */
import type { BucketReceipt, Stop } from "everwrite";
import { type CartBucket, cartOf, type CartRead } from "./cart-bucket.ts";
import type { RuleName } from "./settings.ts";
import type { Shop } from "./shop.ts";

/** For one device to be first: each waits for as long as chance says. */
const waitMinMs = 1_000;
const waitMaxMs = 3_000;

/**
 * Takes strays of a cart along, as long as `rule` is its rule; `tell` hears of each. Not offline, nor before all that hosts
 * know has come: the rule may be another by now, and what is in the cart too.
 */
export function gatherStrays(
  shop: Shop,
  id: string,
  rule: RuleName,
  tell: (taking: Promise<BucketReceipt>) => void,
): Stop {
  const stops = shop.elsewhere(rule).map((from) => {
    let heard: CartRead | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = (): void => {
      timer = undefined;
      if (!isStray(heard)) return;
      if (shop.store.status().settled) tell(move(id, heard, from, shop.carts(rule)));
      else wait();
    };
    const wait = (): void => {
      timer ??= setTimeout(look, waitMinMs + Math.random() * (waitMaxMs - waitMinMs));
    };
    const stop = from.subscribe(id, (read) => {
      heard = read;
      if (isStray(read)) wait();
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  });
  return () => {
    for (const stop of stops) stop();
  };
}

interface Stray extends CartRead {
  readonly context: string;
}

/** Not so what was not understood: it has no context, and stays for those who do. */
function isStray(read: CartRead | undefined): read is Stray {
  return read?.context !== undefined && read.versions.length > 0;
}

async function move(id: string, read: Stray, from: CartBucket, to: CartBucket): Promise<BucketReceipt> {
  const cart = cartOf(read);
  const taken = cart.lines.length > 0 ? await to.change(id, { kind: "unite", cart }) : undefined;
  const removed = await from.remove(id, read.context);
  return taken ?? removed;
}
