/**
 * A shopping cart in five steps: the paper's example, against the real HTTP API of the hosts.
 */
import { HttpClient } from "../cli/client.ts";
import type { ReadJson } from "../cli/siblings.ts";

const path = "/kv/carts/alice";
const goods = ["book", "pen", "lamp", "tea", "cup", "map", "bell", "kite", "rope", "soap", "drum", "sock"];

type Cart = readonly string[];

interface Read {
  readonly carts: readonly Cart[];
  readonly context: string | null;
}

/** Tells the story through hosts at these URLs; throws `StoreError` when one of them cannot. */
export async function tellStory(urls: readonly string[], say: (line: string) => void): Promise<void> {
  const clients = urls.map((url) => new HttpClient(url));
  const host = (number: number): { client: HttpClient; name: string } => {
    const index = (number - 1) % clients.length;
    return { client: clients[index] as HttpClient, name: `host ${index + 1}` };
  };
  try {
    await tell(host, say);
  } finally {
    for (const client of clients) client.close();
  }
}

async function tell(
  host: (number: number) => { client: HttpClient; name: string },
  say: (line: string) => void,
): Promise<void> {
  const [one, two, three] = [host(1), host(2), host(3)];
  const before = await read(one.client);
  let cart = union(before.carts);
  say(
    before.carts.length === 0
      ? "Alice has no cart yet."
      : `Alice's cart of an earlier start is still there: ${show(cart)}`,
  );
  if (goods.length - cart.length < 3) {
    cart = [];
    say("It is full; she begins a new one.");
  }
  const [first = "", second = "", third = ""] = goods.filter((good) => !cart.includes(good));

  cart = [...cart, first];
  await write(one.client, cart, before.context);
  say(`1. She adds a ${first} through ${one.name}: ${show(cart)}`);

  const seen = await read(one.client);
  await Promise.all([
    write(one.client, [...cart, second], seen.context),
    write(two.client, [...cart, third], seen.context),
  ]);
  say(
    `2. Two tabs that saw the same cart write at once: a ${second} through ${one.name}, a ${third} through ${two.name}.`,
  );

  const both = await read(one.client);
  say(`3. Nothing is lost; the store keeps ${both.carts.length} siblings:`);
  for (const sibling of both.carts) say(`     ${show(sibling)}`);

  const merged = union(both.carts);
  await write(two.client, merged, both.context);
  say(`4. The application merges them and writes the union with the context of its read: ${show(merged)}`);

  const after = await read(three.client);
  say(`5. Read through ${three.name}: ${after.carts.map(show).join(" and ")}`);
}

async function read(client: HttpClient): Promise<Read> {
  const { status, body } = await client.call("GET", path, { headers: { accept: "application/json" } });
  if (status !== 404 && status !== 200) throw new Error(`GET ${path} at ${client.url.origin}: ${body.toString()}`);
  const { siblings, context } = JSON.parse(body.toString()) as ReadJson;
  return { carts: siblings.map(({ value }) => JSON.parse(value) as Cart), context };
}

async function write(client: HttpClient, cart: Cart, context: string | null): Promise<void> {
  await client.json("PUT", path, {
    body: Buffer.from(JSON.stringify(cart)),
    headers: { "content-type": "application/json", ...(context !== null && { "everwrite-context": context }) },
  });
}

function union(carts: readonly Cart[]): Cart {
  return [...new Set(carts.flat())].toSorted();
}

function show(cart: Cart): string {
  return `[${cart.join(", ")}]`;
}
