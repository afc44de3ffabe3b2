import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isForgottenSince, type RingName, unnamedRing } from "../../../core/membership/forgetting-marks.ts";
import { bothRings, otherRing, ring } from "./samples.ts";

const mark = (name: RingName, number: number) => ({ ring: name, mark: number });

describe("something was forgotten since a copy of a ring's data was made", () => {
  const copy = { known: [mark(ring, 5)], of: ring };

  test("when that ring, or what it became, has forgotten anything", () => {
    assert.equal(isForgottenSince([mark(ring, 5)], copy, ring), false);
    assert.equal(isForgottenSince([mark(ring, 6)], copy, ring), true);
    assert.equal(isForgottenSince([mark(bothRings, 7)], copy, bothRings), true);
    assert.equal(isForgottenSince([mark(ring, 4)], { known: [mark(bothRings, 3)], of: bothRings }, bothRings), false);
  });

  test("but not by what another ring had forgotten before the two met: the data were never there", () => {
    assert.equal(isForgottenSince([mark(ring, 5), mark(otherRing, 9)], copy, bothRings), false);
    assert.equal(isForgottenSince([mark(ring, 6), mark(otherRing, 9)], copy, bothRings), true);
  });

  test("when a ring that never met it has forgotten anything: they may have been brought there by hand", () => {
    assert.equal(isForgottenSince([mark(otherRing, 9)], copy, otherRing), true);
  });

  test("when either names no ring, unless the copy knows the mark", () => {
    assert.equal(isForgottenSince([mark(unnamedRing, 9)], { known: [], of: ring }, bothRings), true);
    assert.equal(isForgottenSince([mark(otherRing, 9)], { known: [], of: unnamedRing }, bothRings), true);
    assert.equal(isForgottenSince([mark(unnamedRing, 9)], { ...copy, known: [mark(unnamedRing, 9)] }, ring), false);
  });
});
