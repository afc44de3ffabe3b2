/**
 * A page with an editor on a shared text: CodeMirror through its unchanged binding for Yjs, over a store or, to compare, over
 * y-websocket.
 */
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { yCollab } from "y-codemirror.next";
import type { Awareness } from "y-protocols/awareness";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { openStore } from "../../../core/browser/index.ts";
import { EverwriteProvider } from "../../../core/documents/provider.ts";
import type { Store } from "../../../core/store/store.ts";
import { expose } from "../expose.ts";

const doc = new Y.Doc();
const text = doc.getText("body");
let store: Store;
let provider: EverwriteProvider | WebsocketProvider;
let view: EditorView;
/** When the text first had so many characters; as all pages of the machine count, ms since 1970. */
const reachedMs = new Map<number, number>();

/** `toString` of a Y.Text gives its contents, though its types do not say so. */
const contents = (): string => text.toJSON();
const nowMs = (): number => performance.timeOrigin + performance.now();

text.observe(() => {
  for (let length = text.length; length > 0 && !reachedMs.has(length); length--) reachedMs.set(length, nowMs());
});

const functions = {
  async open(options: { readonly name: string; readonly seeds: string[] }): Promise<void> {
    store = await openStore(options);
    provider = new EverwriteProvider(store, "notes/plan", doc);
    await provider.whenSynced;
  },
  edit: (user: string) => edit(provider.awareness, user),
  /** The other server of such documents, as the reference. */
  async openWebsocket(url: string): Promise<void> {
    const websocket = new WebsocketProvider(url, "plan", doc);
    provider = websocket;
    await new Promise((resolve) => websocket.once("sync", resolve));
  },
  text: contents,
  shown: () => view.state.doc.toString(),
  /** Names of the others who are present. */
  others: () =>
    [...provider.awareness.getStates()].flatMap(([id, state]) =>
      id === doc.clientID ? [] : [(state["user"] as { name: string } | undefined)?.name ?? ""],
    ),
  cursors: () => view.dom.querySelectorAll(".cm-ySelectionCaret").length,
  connected: () => store.status().connected,
  status: () => ({ ...store.status() }),
  async settled(): Promise<void> {
    if (provider instanceof EverwriteProvider) await (await provider.linked).settled;
  },
  async stored(): Promise<void> {
    if (provider instanceof EverwriteProvider) await (await provider.linked).flush();
  },
  fill(characters: number): void {
    text.insert(0, "lorem ipsum ".repeat(Math.ceil(characters / 12)).slice(0, characters));
  },
  length: () => text.length,
  /** Types one character after another, each somewhere else: when each was typed, and how long the last took to be settled. */
  async type({ count, everyMs }: { readonly count: number; readonly everyMs: number }): Promise<{
    readonly typedMs: readonly number[];
    readonly settledMs: number;
  }> {
    const typedMs: number[] = [];
    const beginMs = performance.now();
    while (typedMs.length < count) {
      await new Promise((resolve) => setTimeout(resolve, beginMs + typedMs.length * everyMs - performance.now()));
      typedMs.push(nowMs());
      text.insert((typedMs.length * 7_919) % text.length, "x");
    }
    await functions.settled();
    return { typedMs, settledMs: nowMs() - typedMs.at(-1)! };
  },
  /** When the text first had more characters than `from`, one by one. */
  reached: (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => reachedMs.get(from + i + 1) ?? Number.NaN),
  close: async (): Promise<void> => {
    provider.destroy();
    await store?.close();
  },
};

function edit(awareness: Awareness, user: string): void {
  awareness.setLocalStateField("user", { name: user, color: "#30bced", colorLight: "#30bced33" });
  const state = EditorState.create({ doc: contents(), extensions: [yCollab(text, awareness)] });
  view = new EditorView({ state, parent: document.body });
}

export type Functions = typeof functions;

expose(functions);
