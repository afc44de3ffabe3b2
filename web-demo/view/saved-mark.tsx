/** Where a change is: on this device, on so many replicas, everywhere. */
import type { Saved } from "../store/saved.ts";

export function SavedMark({ saved, copies }: { readonly saved: Saved; readonly copies: number }) {
  const done = {
    saving: 0,
    device: 0,
    failed: 0,
    replicas: saved.kind === "replicas" ? saved.copies : 0,
    everywhere: copies,
  }[saved.kind];
  return (
    <span class={`saved ${saved.kind}`}>
      <span class="bars" aria-hidden="true">
        {Array.from({ length: copies }, (_, index) => (
          <i key={index} class={index < done ? "full" : ""} />
        ))}
      </span>
      {wordsFor(saved, copies)}
    </span>
  );
}

function wordsFor(saved: Saved, copies: number): string {
  switch (saved.kind) {
    case "saving":
      return "saving";
    case "device":
      return "on this device";
    case "replicas":
      return `on ${saved.copies} of ${copies} replicas`;
    case "everywhere":
      return "everywhere";
    case "failed":
      return `refused: ${saved.reason}`;
  }
}
