/**
 * Live values as a reader sees them.
 */
import type { Sibling } from "./api.ts";
import { stampToMs } from "./causality/hybrid-clock.ts";
import { dotText, type LiveValue } from "./causality/version-set.ts";

export function siblingOf(value: LiveValue): Sibling {
  return {
    body: value.body,
    contentType: value.contentType,
    kind: value.kind,
    timeMs: stampToMs(value.stamp),
    dot: dotText(value.dot),
    ...(value.expiresAtMs === undefined ? {} : { expiresAtMs: value.expiresAtMs }),
  };
}
