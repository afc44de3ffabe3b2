/**
 * Several people at documents of one origin: what each does, and when they hear of each other. For tests of documents.
 */
import fc from "fast-check";
import * as Y from "yjs";

type Edit =
  | { readonly do: "type" | "erase" | "format"; readonly who: number; readonly at: number; readonly text: string }
  | { readonly do: "set"; readonly who: number; readonly at: number; readonly text: string; readonly value: unknown }
  | { readonly do: "nest" | "drop" | "xml"; readonly who: number; readonly at: number; readonly text: string }
  | { readonly do: "meet"; readonly who: number; readonly at: number };

const who = fc.nat(2);
const at = fc.nat(1_000);
const text = fc.string({ maxLength: 6, unit: "grapheme" });
const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.uint8Array({ maxLength: 4 }));

export const edits: fc.Arbitrary<Edit[]> = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constantFrom("type" as const, "type" as const, "erase" as const, "format" as const),
      who,
      at,
      text,
    }),
    fc.record({ do: fc.constant("set" as const), who, at, text, value }),
    fc.record({ do: fc.constantFrom("nest" as const, "drop" as const, "xml" as const), who, at, text }),
    fc.record({ do: fc.constant("meet" as const), who, at }),
  ),
  { minLength: 1, maxLength: 40, size: "max" },
);

/** The documents after it, which need not have heard of all, and every update that was made, each once. */
export function editing(steps: readonly Edit[]): { readonly docs: Y.Doc[]; readonly updates: Uint8Array[] } {
  const updates: Uint8Array[] = [];
  const docs = Array.from({ length: 3 }, (_, i) => {
    const doc = new Y.Doc();
    doc.clientID = i + 1;
    doc.on("update", (update: Uint8Array, origin: unknown) => {
      if (origin !== "heard") updates.push(update);
    });
    return doc;
  });
  for (const step of steps) {
    const doc = docs[step.who]!;
    if (step.do === "meet") {
      Y.applyUpdate(doc, Y.encodeStateAsUpdate(docs[step.at % docs.length]!), "heard");
    } else doc.transact(() => edit(doc, step), "edit");
  }
  return { docs, updates };
}

/** What its readers see. */
function contentOf(doc: Y.Doc): unknown {
  return {
    text: doc.getText("text").toDelta(),
    map: doc.getMap("map").toJSON(),
    list: doc.getArray("list").toJSON(),
    xml: doc.getXmlFragment("xml").toJSON(),
  };
}

/** As a reader has it who is told these updates: see `LiveDocument` why all at once. */
export function contentFrom(updates: readonly Uint8Array[]): unknown {
  const doc = new Y.Doc();
  if (updates.length > 0) Y.applyUpdate(doc, Y.mergeUpdates([...updates]));
  return contentOf(doc);
}

function edit(doc: Y.Doc, step: Exclude<Edit, { do: "meet" }>): void {
  const body = doc.getText("text");
  const place = body.length === 0 ? 0 : step.at % body.length;
  const some = Math.min(3, body.length - place);
  const list = doc.getArray("list");
  switch (step.do) {
    case "type":
      return body.insert(place, step.text);
    case "erase":
      return body.delete(place, some);
    case "format":
      return body.format(place, some, { bold: step.at % 2 === 0 ? true : null });
    case "set":
      return void doc.getMap("map").set(`k${step.at % 4}`, step.value);
    case "nest": {
      const inner = new Y.Map<unknown>();
      inner.set("text", new Y.Text(step.text));
      return list.insert(list.length === 0 ? 0 : step.at % list.length, [inner, step.text]);
    }
    case "drop":
      return list.length === 0 ? undefined : list.delete(step.at % list.length, 1);
    case "xml": {
      const element = new Y.XmlElement("p");
      element.setAttribute("at", String(step.at));
      element.insert(0, [new Y.XmlText(step.text)]);
      return doc.getXmlFragment("xml").insert(0, [element]);
    }
  }
}
