/** A page that shows keys and the status of a store with React, and tells what it shows. */
import { createElement as h, type ReactElement, StrictMode, useEffect } from "react";
import { createRoot, hydrateRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { openStore } from "../../../core/browser/index.ts";
import { StoreProvider, useDocument, useStatus, useStore, useValue } from "../../../core/react/index.ts";
import type { LiveDocument } from "../../../core/documents/live-document.ts";
import type { Bucket } from "../../../core/store/bucket.ts";
import type { Store } from "../../../core/store/store.ts";
import type { Snapshot } from "../../../core/store/subscriptions.ts";
import { expose } from "../expose.ts";

interface Schema {
  readonly notes: string;
}

let store: Store<Schema> | undefined;
/** As components get it. */
let given: Store<Schema> | undefined;
let root: Root | undefined;
let renders = 0;
let mounts = 0;
/** Subscriptions of the hooks that are open now, and that ever were. */
const subscriptions = { open: 0, all: 0 };
const snapshots = new Set<Snapshot<string>>();
const recovered: string[] = [];
/** The documents that were shown, and how many were closed. */
const documents = new Set<LiveDocument>();
let closed = 0;

function Note({ name }: { readonly name: string }): ReactElement {
  const snapshot = useValue<string>("notes", name);
  renders += 1;
  snapshots.add(snapshot);
  useEffect(() => {
    mounts += 1;
  }, []);
  const { loaded, value, pending } = snapshot;
  return h("p", null, loaded ? `${name}: ${value ?? "nothing"}${pending ? " (pending)" : ""}` : `${name}: loading`);
}

function Plan({ name }: { readonly name: string }): ReactElement {
  const { doc, loaded, absent, problem } = useDocument(name);
  useEffect(() => {
    if (doc === undefined || documents.has(doc)) return;
    documents.add(doc);
    doc.once("destroy", () => (closed += 1));
  }, [doc]);
  if (problem !== undefined) return h("p", null, `${name}: ${problem.code}`);
  if (doc === undefined || !loaded) return h("p", null, `${name}: loading`);
  return h("p", null, `${name}: ${absent ? "nothing" : doc.getText("body").toJSON()}`);
}

function Status(): ReactElement {
  const status = useStatus();
  given = useStore<Schema>();
  const text = status === undefined ? "unknown" : status.closed ? "closed" : `${status.pending} pending`;
  return h("footer", null, text);
}

interface Shown {
  readonly names: readonly string[];
  readonly plans?: readonly string[];
  readonly strict?: boolean;
}

function app({ names, plans = [], strict = false }: Shown): ReactElement {
  const notes = names.map((name, i) => h(Note, { key: i, name }));
  const documentsShown = plans.map((name, i) => h(Plan, { key: i, name }));
  const all = h(
    StoreProvider,
    { store },
    h("section", null, ...notes),
    h("section", null, ...documentsShown),
    h(Status),
  );
  return strict ? h(StrictMode, null, all) : all;
}

/** Counts what the hooks subscribe to. */
function counting(notes: Bucket<string>): void {
  const subscribe = notes.subscribe.bind(notes);
  notes.subscribe = (key, hear) => {
    const stop = subscribe(key, hear);
    subscriptions.open += 1;
    subscriptions.all += 1;
    return () => {
      subscriptions.open -= 1;
      stop();
    };
  };
}

const container = document.body.appendChild(document.createElement("main"));

const functions = {
  async open(name: string) {
    store = await openStore<Schema>({ name });
    counting(store.bucket("notes"));
  },
  render(shown: Shown) {
    root ??= createRoot(container);
    root.render(app(shown));
  },
  unmount() {
    root?.unmount();
    root = undefined;
  },
  /** What a server sends, which has no store. */
  renderOnServer(shown: Shown) {
    const present = store;
    store = undefined;
    const html = renderToString(app(shown));
    store = present;
    container.innerHTML = html;
    return container.innerText;
  },
  hydrate(shown: Shown) {
    root = hydrateRoot(container, app(shown), { onRecoverableError: (error) => recovered.push(String(error)) });
  },
  async put(key: string, value: string) {
    const notes = (given ?? store!).bucket("notes");
    const { context } = await notes.get(key);
    await notes.put(key, value, { context });
  },
  /** As another part of the application does: on a document that it opens and closes itself, or on the one that is shown. */
  async write(key: string, text: string) {
    const shown = [...documents].find((doc) => doc.key === key && !doc.isDestroyed);
    const { doc, release } = store!.holdDoc(key);
    const own = await doc;
    await own.loaded;
    own.getText("body").insert(own.getText("body").length, text);
    await own.flush();
    release();
    return shown === own;
  },
  /** Another part of the application, which asked for the document that is shown, closes it. */
  async closeShown(key: string) {
    await (await store!.doc(key)).close();
  },
  documents: () => ({ opened: documents.size, closed }),
  close: () => store!.close(),
  text: () => container.innerText.replaceAll(/\s+/g, " ").trim(),
  counts: () => ({ renders, mounts, snapshots: snapshots.size, ...subscriptions }),
  recovered: () => recovered,
};

export type Functions = typeof functions;

expose(functions);
