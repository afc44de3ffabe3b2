/** One device in the shop: who the visitor is, which cart is on the screen, what the store says of itself. */
import type { Clock, StoreStatus } from "everwrite";
import type { Orders } from "../store/orders.ts";
import type { Shop } from "../store/shop.ts";
import { type Visitor, withCart, withoutCart } from "../store/visitor.ts";
import { CartSession } from "./cart-session.ts";
import { newId } from "./ids.ts";
import { Observable } from "./observable.ts";

/**
 * The visitor is this device's node: its id is drawn once, and kept as safely as what it writes. (`localStorage` would not
 * do: a browser that is killed forgets what it put there last.)
 */
export class ShopModel {
  readonly shop: Shop;
  /** N of the cluster. */
  readonly copies: number;
  readonly session: Observable<CartSession>;
  readonly visitor: Observable<Visitor>;
  readonly orders: Observable<Orders>;
  readonly status: Observable<StoreStatus>;

  readonly #clock: Pick<Clock, "wallTime">;

  private constructor(shop: Shop, copies: number, clock: Pick<Clock, "wallTime">, visitor: Visitor) {
    this.shop = shop;
    this.#clock = clock;
    this.copies = copies;
    this.session = new Observable(new CartSession(shop, visitor.current, copies));
    this.visitor = new Observable(visitor);
    this.orders = new Observable<Orders>([]);
    this.status = new Observable(shop.store.status());
    shop.store.subscribeStatus((status) => this.status.set(status));
    shop.orders.subscribe(this.visitorId, ({ value }) => value !== undefined && this.orders.set(value));
    shop.visitors.subscribe(this.visitorId, ({ value }) => value !== undefined && this.visitor.set(value));
  }

  /** With the cart that was shown last; a first visit begins with `firstCart`, or an empty one. `clock`: of this device. */
  static async open(
    shop: Shop,
    copies: number,
    clock: Pick<Clock, "wallTime">,
    firstCart = newId(),
  ): Promise<ShopModel> {
    const known = await shop.knownVisitor(shop.store.status().id);
    if (known !== undefined) return new ShopModel(shop, copies, clock, known);
    const model = new ShopModel(shop, copies, clock, { carts: [firstCart], current: firstCart });
    // Not waited for: a host that is slow to answer keeps nobody out of the shop.
    void model.openCart(firstCart);
    return model;
  }

  get visitorId(): string {
    return this.shop.store.status().id;
  }

  /** Shows a cart, and keeps it in the visitor's list: a new one, or one that a link names. */
  async openCart(id: string = newId()): Promise<void> {
    if (id !== this.session.value.id) {
      this.session.value.close();
      this.session.set(new CartSession(this.shop, id, this.copies));
    }
    await this.#changeVisitor((visitor) => withCart(visitor, id));
  }

  /** Off the list; what is in it stays for whoever has its link. */
  async putCartAway(id: string): Promise<void> {
    await this.#changeVisitor((visitor) => withoutCart(visitor, id));
    if (id === this.session.value.id) await this.openCart(this.visitor.value.current);
  }

  checkOut(): ReturnType<CartSession["checkOut"]> {
    return this.session.value.checkOut(this.visitorId, this.#clock.wallTime());
  }

  /** Of a cart that need not be on the screen. */
  async cartName(id: string): Promise<string> {
    return (await this.shop.knownSettings(id)).name;
  }

  async #changeVisitor(change: (visitor: Visitor) => Visitor): Promise<void> {
    this.visitor.update(change);
    await this.shop.changeVisitor(this.visitorId, (known) => change(known ?? this.visitor.value));
  }
}
