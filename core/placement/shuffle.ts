/**
 * Seeded order: planners choose at random among equals, and every node that plans the same comes to the same plan.
 */

/** 0..count-1 in an order that depends on the seed and on the calls before. */
export type Shuffle = (count: number) => number[];

export function shuffleOf(seed: number): Shuffle {
  const next = mulberry32(seed);
  return (count) => {
    const order = Array.from({ length: count }, (_, index) => index);
    for (let i = count - 1; i > 0; i -= 1) {
      const j = Math.floor(next() * (i + 1));
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  };
}

/** FNV-1a: a seed from a name, so that two hosts that join at once choose different tokens. */
export function seedOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i += 1) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Tommy Ettinger's 32-bit generator: small, and good enough to break ties. */
function mulberry32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
