/**
 * What tabs of one store tell each other. Calls and their answers are those of a `SharedNode`; they cross by structured
 * clone, so that bytes stay bytes. A message names the owner's term, the epoch of the storage under which it runs the node:
 * of what an earlier owner says or is asked nothing counts any more.
 *
 * The other side is the same code, or that of another release, open in a tab since before a deployment. So a message carries
 * the version of these definitions, and what is not of this shape is passed over.
 */
import type { DeleteOptions, ListOptions, Watched } from "../../api.ts";
import { StoreError, type StoreErrorCode, type StoreErrorDetail, statusOfCode } from "../../errors.ts";
import type { NodeId } from "../../identity.ts";
import type {
  AnsweredWrite,
  LwwConflict,
  ParkedWrite,
  RequestName,
  StoreChange,
  StoreFacts,
  StoreGetOptions,
  StorePutOptions,
  WriteLevel,
} from "../../store-node.ts";

/** Raised with every change of what is below that an older tab would misunderstand. */
const version = 3;

/** Drawn by each tab for each store that it opens. */
export type TabId = string;

/** To whom what concerns all tabs is said. */
export const everyone: unique symbol = Symbol("everyone");

type Unsignalled<Options> = Omit<Options, "signal">;

/** What a tab asks the node. All may be asked again: a write happens once under its `request`. */
export type Call =
  | {
      readonly method: "get";
      readonly bucket: string;
      readonly name: string;
      readonly options: Unsignalled<StoreGetOptions>;
    }
  | {
      readonly method: "put";
      readonly bucket: string;
      readonly name: string;
      readonly body: Uint8Array;
      readonly options: Unsignalled<StorePutOptions & RequestName>;
    }
  | {
      readonly method: "delete";
      readonly bucket: string;
      readonly name: string;
      readonly options: Unsignalled<DeleteOptions & RequestName>;
    }
  | { readonly method: "list"; readonly bucket: string; readonly options: Unsignalled<ListOptions> }
  | { readonly method: "until"; readonly write: AnsweredWrite; readonly level: WriteLevel; readonly timeoutMs?: number }
  | { readonly method: "flush"; readonly timeoutMs?: number }
  | { readonly method: "inspect"; readonly bucket: string; readonly name: string }
  | { readonly method: "parked" }
  | { readonly method: "discard"; readonly write: Pick<ParkedWrite, "bucket" | "name" | "dot"> }
  | ImportPiece;

/** One of an import, which has a name. Only the first may be asked of a new owner, for what came before is gone with the old one. */
export interface ImportPiece {
  readonly method: "import";
  readonly id: string;
  readonly isFirst: boolean;
  readonly isLast: boolean;
  readonly chunks: readonly Uint8Array[];
}

/** A `StoreError` on its way. */
export interface SentError {
  readonly code: string;
  readonly message: string;
  readonly detail: StoreErrorDetail;
}

/** To the owner. `id`: of the call, watch or export, the tab's own number. */
export type Ask =
  | { readonly kind: "call"; readonly id: number; readonly call: Call }
  /** `credit`: so many changes may be sent before more are asked for. */
  | {
      readonly kind: "watch";
      readonly id: number;
      readonly bucket: string;
      readonly what: Watched;
      readonly credit: number;
    }
  /** Told in pieces, with credit as for changes. */
  | { readonly kind: "export"; readonly id: number; readonly credit: number }
  | { readonly kind: "more"; readonly id: number; readonly credit: number }
  /** Takes part in the channel of a key until `cancel`. */
  | { readonly kind: "join"; readonly id: number; readonly bucket: string; readonly name: string }
  | { readonly kind: "say"; readonly id: number; readonly body: Uint8Array }
  /** The tab waits for it no longer. */
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "probe" };

/** What comes of a call or a watch. */
export type Answer =
  | { readonly kind: "result"; readonly id: number; readonly value: unknown }
  | { readonly kind: "failure"; readonly id: number; readonly error: SentError }
  | { readonly kind: "change"; readonly id: number; readonly change: StoreChange }
  /** Said in a channel. */
  | { readonly kind: "heard"; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: "piece"; readonly id: number; readonly bytes: Uint8Array }
  /** A watch or an export has ended by itself. */
  | { readonly kind: "ended"; readonly id: number };

/** From the owner, to one tab; facts and conflicts to all. */
export type Tell =
  | Answer
  | { readonly kind: "facts"; readonly facts: StoreFacts }
  | { readonly kind: "conflict"; readonly conflict: LwwConflict }
  /** Its storage has answered since the probe. */
  | { readonly kind: "alive" };

/** To all tabs; `open` also to one that seeks. */
export type News =
  /** Who runs the node? */
  | { readonly kind: "seek" }
  /** This tab has the storage, and begins to run the node. */
  | { readonly kind: "opening" }
  | { readonly kind: "open"; readonly id: NodeId; readonly facts: StoreFacts }
  | { readonly kind: "left" };

export type TabMessage = Ask | Tell | News;

/** `term` is 0 where none is known. */
export interface Envelope {
  readonly from: TabId;
  readonly term: number;
  readonly message: TabMessage;
}

const shapes: { readonly [Kind in TabMessage["kind"]]: Readonly<Record<string, "number" | "object" | "string">> } = {
  call: { id: "number", call: "object" },
  watch: { id: "number", bucket: "string", what: "object", credit: "number" },
  export: { id: "number", credit: "number" },
  more: { id: "number", credit: "number" },
  join: { id: "number", bucket: "string", name: "string" },
  say: { id: "number", body: "object" },
  cancel: { id: "number" },
  probe: {},
  result: { id: "number" },
  failure: { id: "number", error: "object" },
  change: { id: "number", change: "object" },
  heard: { id: "number", body: "object" },
  piece: { id: "number", bytes: "object" },
  ended: { id: "number" },
  facts: { facts: "object" },
  conflict: { conflict: "object" },
  alive: {},
  seek: {},
  opening: {},
  open: { id: "string", facts: "object" },
  left: {},
};

export function seal({ from, term, message }: Envelope): object {
  return { everwrite: version, from, term, message };
}

/** Of another version of this code; the owner says that it has the store. */
export type Foreign = "foreign" | "foreign owner";

/** Undefined: nobody here says such things. */
export function unseal(data: unknown): Envelope | Foreign | undefined {
  if (!isRecord(data) || typeof data["everwrite"] !== "number") return undefined;
  const { from, term, message } = data;
  if (data["everwrite"] !== version) {
    const hasStore = isRecord(message) && (message["kind"] === "opening" || message["kind"] === "open");
    return hasStore ? "foreign owner" : "foreign";
  }
  if (typeof from !== "string" || !Number.isSafeInteger(term) || !isRecord(message)) return undefined;
  const { kind } = message;
  if (typeof kind !== "string" || !Object.hasOwn(shapes, kind)) return undefined;
  const shape = Object.entries(shapes[kind as TabMessage["kind"]]);
  if (shape.some(([name, type]) => typeof message[name] !== type || message[name] === null)) return undefined;
  return { from, term: term as number, message: message as unknown as TabMessage };
}

const askKinds: readonly string[] = [
  "call",
  "watch",
  "export",
  "more",
  "join",
  "say",
  "cancel",
  "probe",
] satisfies Ask["kind"][];
const newsKinds: readonly string[] = ["seek", "opening", "open", "left"] satisfies News["kind"][];

export function isAsk(message: TabMessage): message is Ask {
  return askKinds.includes(message.kind);
}

export function isNews(message: TabMessage): message is News {
  return newsKinds.includes(message.kind);
}

export function sentError(error: StoreError): SentError {
  return { code: error.code, message: error.message, detail: error.detail };
}

export function receivedError({ code, message, detail }: SentError): StoreError {
  return new StoreError(Object.hasOwn(statusOfCode, code) ? (code as StoreErrorCode) : "internal", message, detail);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
