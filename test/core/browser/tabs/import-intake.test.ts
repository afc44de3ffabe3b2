import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ImportIntake } from "../../../../core/browser/tabs/import-intake.ts";
import type { CancelSignal } from "../../../../core/ports.ts";
import type { SharedNode } from "../../../../core/store-node.ts";

/** Of a tab: counts who listens. */
class Session implements CancelSignal {
  readonly aborted = false;
  readonly listeners = new Set<() => void>();

  addEventListener(_type: "abort", listener: () => void): void {
    this.listeners.add(listener);
  }

  removeEventListener(_type: "abort", listener: () => void): void {
    this.listeners.delete(listener);
  }
}

const taking: SharedNode["import"] = async (chunks) => {
  for await (const chunk of chunks) if (chunk.length === 0) throw new Error("planned");
  return { keys: 1, writes: 0, outdated: 0, failed: 0 };
};

describe("an import from another tab", () => {
  for (const last of [Uint8Array.of(1), new Uint8Array()]) {
    test(`is forgotten by the tab that gave it when it ${last.length > 0 ? "is taken" : "fails"}`, async () => {
      const session = new Session();
      const intake = new ImportIntake({ import: taking }, session);
      await intake.give([Uint8Array.of(1)], false);
      assert.equal(session.listeners.size, 1);
      await intake.give([last], true).catch(() => undefined);
      assert.equal(session.listeners.size, 0);
    });
  }
});
