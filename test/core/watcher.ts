/** One who watches at a host, for tests. */
import type { WatchEvent } from "../../core/api.ts";
import type { EverwriteNode } from "../../core/node.ts";
import { eventually } from "../support/eventually.ts";
import { texts } from "../support/values.ts";

/** What a watcher was told, and how to end it. */
export class Watcher {
  readonly told: WatchEvent[] = [];
  readonly #end = new AbortController();
  /** Resolves when the watch has ended. */
  readonly done: Promise<void>;

  constructor(node: EverwriteNode, what: { readonly name: string } | { readonly prefix: string }) {
    this.done = this.#follow(node.watch("b", what, this.#end.signal));
  }

  /** The values last told of each key, as one text. */
  get latest(): ReadonlyMap<string, string> {
    return new Map(this.told.map(({ name, siblings }) => [name, texts(siblings).join("+")]));
  }

  /** What was told, in order, whatever the key. */
  get values(): string[] {
    return this.told.map(({ siblings }) => texts(siblings).join("+"));
  }

  shows(name: string, value: string): Promise<void> {
    return eventually(() => this.latest.get(name) === value, `the watcher to show ${name}: ${value}`);
  }

  async end(): Promise<void> {
    this.#end.abort();
    await this.done;
  }

  async #follow(events: AsyncIterable<WatchEvent>): Promise<void> {
    for await (const event of events) this.told.push(event);
  }
}

export async function watching(
  node: EverwriteNode,
  what: { readonly name: string } | { readonly prefix: string },
  body: (watcher: Watcher) => Promise<void>,
): Promise<void> {
  const watcher = new Watcher(node, what);
  try {
    await body(watcher);
  } finally {
    await watcher.end();
  }
}
