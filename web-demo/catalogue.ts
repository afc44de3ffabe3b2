/** What the shop sells. */

export interface Article {
  readonly id: string;
  readonly name: string;
  readonly about: string;
  readonly cents: number;
  readonly shelf: "Desk" | "Kitchen" | "Outdoors" | "Home";
}

export const catalogue: readonly Article[] = [
  { id: "book", name: "Book", about: "Two hundred blank pages for what must not be lost", cents: 1450, shelf: "Desk" },
  { id: "pen", name: "Pen", about: "Always writes", cents: 890, shelf: "Desk" },
  { id: "lamp", name: "Lamp", about: "Warm light for late work", cents: 5900, shelf: "Desk" },
  { id: "clock", name: "Clock", about: "Nearly right, like all of them", cents: 3200, shelf: "Desk" },
  { id: "tea", name: "Tea", about: "Green, from the second harvest", cents: 720, shelf: "Kitchen" },
  { id: "cup", name: "Cup", about: "Stoneware, glazed by hand", cents: 1250, shelf: "Kitchen" },
  { id: "jam", name: "Jam", about: "Apricot, and little sugar", cents: 560, shelf: "Kitchen" },
  { id: "pot", name: "Pot", about: "Cast iron, outlives its owner", cents: 7400, shelf: "Kitchen" },
  { id: "map", name: "Map", about: "Of the hills behind the town", cents: 980, shelf: "Outdoors" },
  { id: "kite", name: "Kite", about: "Flies from three on the Beaufort scale", cents: 2600, shelf: "Outdoors" },
  { id: "rope", name: "Rope", about: "Ten metres that hold two people", cents: 1890, shelf: "Outdoors" },
  { id: "umbrella", name: "Umbrella", about: "For partitions in the weather", cents: 2300, shelf: "Outdoors" },
  { id: "soap", name: "Soap", about: "Olive oil and lavender", cents: 480, shelf: "Home" },
  { id: "sock", name: "Socks", about: "Wool, sold in consistent pairs", cents: 1100, shelf: "Home" },
  { id: "plant", name: "Plant", about: "Forgives a week of silence", cents: 1650, shelf: "Home" },
  { id: "bell", name: "Bell", about: "Brass, heard by all neighbours", cents: 1340, shelf: "Home" },
];

const byId = new Map(catalogue.map((article) => [article.id, article]));

/** A cart may hold what another version of the shop sold. */
export function articleOf(id: string): Article {
  return byId.get(id) ?? { id, name: id, about: "No longer sold here", cents: 0, shelf: "Home" };
}

/** In the order of the catalogue. */
export function inShelfOrder<T extends { readonly article: string }>(lines: readonly T[]): T[] {
  const rank = new Map(catalogue.map(({ id }, index) => [id, index]));
  return lines.toSorted((a, b) => (rank.get(a.article) ?? rank.size) - (rank.get(b.article) ?? rank.size));
}

export function sumOf(lines: readonly { readonly article: string; readonly quantity: number }[]): number {
  return lines.reduce((sum, { article, quantity }) => sum + articleOf(article).cents * quantity, 0);
}

/** All words occur somewhere in what is said of the article. */
export function search(text: string): readonly Article[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return catalogue.filter(({ name, about, shelf }) => {
    const said = `${name} ${about} ${shelf}`.toLowerCase();
    return words.every((word) => said.includes(word));
  });
}

const euros = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });

export function price(cents: number): string {
  return euros.format(cents / 100);
}
