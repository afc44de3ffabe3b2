/**
 * The cart on the screen: its name and rule, what is in it, what just became of several versions of it.
 */
import type { BucketReceipt, Stop } from "everwrite";
import { articleOf, sumOf } from "../catalogue.ts";
import { cartOf, type HeardCart } from "../store/cart-bucket.ts";
import { type Cart, type CartChange, changed, emptyCart } from "../store/cart.ts";
import type { Order } from "../store/orders.ts";
import { type CartSettings, defaultSettings, type RuleName } from "../store/settings.ts";
import type { Shop } from "../store/shop.ts";
import { gatherStrays } from "../store/strays.ts";
import { Changes, type Written } from "./changes.ts";
import { contents, type Happening, Happenings } from "./happenings.ts";
import { grow, type Version } from "./lineage.ts";
import { Observable } from "./observable.ts";
import { newId } from "./ids.ts";
import { Traffic } from "./traffic.ts";

export interface CartState {
  readonly id: string;
  readonly settings: CartSettings;
  /** False: this device does not know yet what is in it. */
  readonly isLoaded: boolean;
  /** False: hosts are being asked by which rule it is kept. */
  readonly isRuleKnown: boolean;
  /** What the rule makes of it; of several versions under the rule of siblings: the union, as a proposal. */
  readonly cart: Cart;
  /** More than one only where the visitor merges by hand. */
  readonly versions: readonly Cart[];
  readonly context: string | undefined;
  /** A write of this device waits for hosts. */
  readonly isPending: boolean;
  /** What came of versions that met, newest first. */
  readonly happenings: readonly Happening[];
  /** Which version replaced which, since the page was opened. */
  readonly lineage: readonly Version[];
}

export class CartSession {
  readonly id: string;
  readonly state: Observable<CartState>;
  readonly changes: Changes;
  readonly traffic = new Traffic();
  readonly #shop: Shop;
  readonly #happenings: Happenings;
  readonly #stops: Stop[] = [];
  #stopCart: Stop = () => {};
  /** Undefined: the rule is a guess, by which nothing is taken along. */
  #stopStrays: Stop | undefined;
  #isClosed = false;
  /** Resolves when this device has told what it knows of the rule. */
  readonly #deviceAsked: Promise<void>;
  /** The settings of this cart were seen: before that its rule is a guess. */
  #isRuleSeen = false;

  constructor(shop: Shop, id: string, copies: number) {
    this.id = id;
    this.#shop = shop;
    this.changes = new Changes(copies);
    this.#happenings = new Happenings();
    this.state = new Observable<CartState>(startState(id));
    this.#follow(defaultSettings.rule);
    this.#deviceAsked = this.#askDevice();
    this.#stops.push(
      shop.settings.subscribe(id, ({ value }) => value !== undefined && this.#onSettings(value)),
      shop.store.subscribeStatus(() => void this.#lookWhetherKnown()),
      shop.store.on("conflict", ({ bucket, key, discardedDot }) => {
        if (bucket === shop.carts("lww").name && key === id) this.#tell(this.#happenings.lost(discardedDot));
      }),
    );
    void this.#lookWhetherKnown();
  }

  close(): void {
    this.#isClosed = true;
    this.changes.close();
    this.#stopCart();
    this.#stopStrays?.();
    for (const stop of this.#stops) stop();
  }

  add(article: string): Promise<boolean> {
    this.#happenings.added(article);
    return this.#change(`${articleOf(article).name} added`, { kind: "add", article });
  }

  setQuantity(article: string, quantity: number): Promise<boolean> {
    const { name } = articleOf(article);
    const what = quantity === 0 ? `${name} taken out` : `${name}: ${quantity}`;
    if (quantity === 0) this.#happenings.removed(article);
    else this.#happenings.added(article);
    return this.#change(what, { kind: "set", article, quantity });
  }

  /** What the visitor chose of the versions side by side. */
  resolve(cart: Cart): Promise<boolean> {
    const { context } = this.state.value;
    return this.#note("Versions merged by hand", this.#shop.resolveCart(this.id, cart, context));
  }

  rename(name: string): Promise<boolean> {
    return this.#note(
      `Cart named ${name}`,
      this.#shop.changeSettings(this.id, (settings) => ({ ...settings, name })),
      "settings",
    );
  }

  /** The items go along: under another rule they are another value. A page that dies in between leaves them in both places. */
  async setRule(rule: RuleName): Promise<void> {
    const from = this.#shop.carts(this.state.value.settings.rule);
    const to = this.#shop.carts(rule);
    if (to === from) return;
    const isMove = to.name !== from.name;
    const left = await from.get(this.id);
    const cart = cartOf(left);
    if (isMove && cart.lines.length > 0) {
      const isTaken = await this.#note("Items taken along", to.change(this.id, { kind: "unite", cart }));
      if (!isTaken) return;
    }
    const change = async (): Promise<BucketReceipt> => {
      const receipt = await this.#shop.changeSettings(this.id, (settings) => ({ ...settings, rule }));
      if (isMove && left.context !== undefined) await from.remove(this.id, left.context);
      return receipt;
    };
    await this.#note("Merge rule changed", change(), "settings");
  }

  /**
   * Orders what is in the cart, and takes it out. The order comes first: a page that dies in between leaves an order and a
   * full cart, which loses nothing.
   */
  async checkOut(visitor: string, timeMs: number): Promise<Order | undefined> {
    const { cart } = this.state.value;
    const order = { id: newId(), cart, timeMs, cents: sumOf(cart.lines) };
    const isOrdered = await this.#note("Order placed", this.#shop.order(visitor, order), "orders");
    if (!isOrdered) return undefined;
    for (const { article } of cart.lines) this.#happenings.removed(article);
    await this.#change("Cart emptied", { kind: "buy", bought: cart });
    return order;
  }

  async #change(what: string, change: CartChange): Promise<boolean> {
    const { settings, cart } = this.state.value;
    const write = this.#shop.carts(settings.rule).change(this.id, change);
    void write.then(
      ({ dot }) => this.#happenings.remember(dot, changed(cart, change)),
      () => {}, // shown with the change
    );
    return this.#note(what, write);
  }

  #note(what: string, write: Promise<BucketReceipt>, of: Written = "cart"): Promise<boolean> {
    if (of === "cart") void this.traffic.put(what, write);
    return this.changes.note(what, write, of);
  }

  /** From a quorum of hosts, to show who answers: what is on the screen needs none. */
  async read(): Promise<void> {
    await this.traffic.get(this.#shop.carts(this.state.value.settings.rule).ask(this.id));
  }

  #onSettings(settings: CartSettings): void {
    const { rule } = this.state.value.settings;
    this.state.update((state) => ({ ...state, settings }));
    if (rule !== settings.rule) this.#follow(settings.rule);
    this.#ruleIsSeen();
    void this.#lookWhetherKnown();
  }

  /** A guess where the device knows better would be undone a moment later, and lost if the page dies before. */
  async #askDevice(): Promise<void> {
    const { value } = await this.#shop.settings.get(this.id, { r: "local" }).catch(() => ({ value: undefined }));
    if (value !== undefined && !this.#isRuleSeen && !this.#isClosed) this.#onSettings(value);
  }

  /** This device and hosts that could tell the cart's rule are asked first; where they cannot, one goes on by a guess. */
  async #lookWhetherKnown(): Promise<void> {
    await this.#deviceAsked;
    const { connected, settled } = this.#shop.store.status();
    if (connected && !settled && !this.#isRuleSeen) return;
    if (settled && !this.#isRuleSeen) {
      const asked = await this.#shop.settings.get(this.id).catch(() => undefined); // too few of them answer
      // They have none either: the rule is that of all carts. Else the subscription tells it in a moment.
      if (asked?.source === "quorum" && asked.value === undefined) this.#ruleIsSeen();
    }
    this.state.update((state) => (state.isRuleKnown ? state : { ...state, isRuleKnown: true }));
  }

  #ruleIsSeen(): void {
    if (this.#isClosed) return;
    this.#isRuleSeen = true;
    const { rule } = this.state.value.settings;
    const tell = (taking: Promise<BucketReceipt>): void => void this.#note("Items taken along", taking);
    this.#stopStrays ??= gatherStrays(this.#shop, this.id, rule, tell);
  }

  #follow(rule: RuleName): void {
    this.#stopCart();
    this.#stopStrays?.();
    this.#stopStrays = undefined;
    this.#stopCart = this.#shop.carts(rule).subscribe(this.id, (read) => this.#onCart(rule, read));
  }

  #onCart(rule: RuleName, read: HeardCart): void {
    const { isLoaded, context, isPending, origin } = read;
    const cart = cartOf(read);
    for (const version of read.versions) this.#happenings.remember(version.dot, version.cart);
    const versions = read.versions.map((version) => version.cart);
    this.#tell(this.#happenings.met(rule, versions, this.state.value.cart, cart));
    const live = read.versions.map((version) => ({ dot: version.dot, label: contents(version.cart) }));
    const known = this.state.value.lineage;
    for (const { dot, label } of origin === "remote" ? live : []) {
      if (!known.some((version) => version.dot === dot)) this.traffic.heard(dot, label);
    }
    this.state.update((state) => ({
      ...state,
      isLoaded,
      cart,
      versions: rule === "siblings" && versions.length > 1 ? versions : [],
      context,
      isPending,
      lineage: grow(state.lineage, live),
    }));
  }

  #tell(happenings: readonly Happening[] | undefined): void {
    if (happenings !== undefined) this.state.update((state) => ({ ...state, happenings }));
  }
}

function startState(id: string): CartState {
  return {
    id,
    settings: defaultSettings,
    isLoaded: false,
    isRuleKnown: false,
    cart: emptyCart,
    versions: [],
    context: undefined,
    isPending: false,
    happenings: [],
    lineage: [],
  };
}
