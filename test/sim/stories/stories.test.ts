import assert from "node:assert/strict";
import { test } from "node:test";
import { stories } from "./all.ts";
import { tell } from "./stage.ts";

for (const story of stories) {
  test(story.name, async () => {
    const { violation, log } = await tell(story);
    const text = violation && `${violation.rule}: ${violation.text}`;
    assert.equal(text, undefined, log.slice(-40).join("\n"));
  });
}
