/** What befalls edges: they lose their network, are frozen, killed, and started again. */
import type { Chance } from "../chance.ts";
import type { World } from "../world.ts";
import type { SimEdge } from "./sim-edge.ts";

/** No host hears it, and mostly it hears none, until the answer is called. */
export function cutOff(world: World, edge: SimEdge, chance: Chance): () => void {
  const pairs = world.hosts.map(({ id }) => [edge.id, id] as const);
  return world.network.cutPairs(pairs, chance.is(0.8));
}

export function freeze(world: World, { id, process }: SimEdge, chance: Chance): void {
  process?.pause();
  world.schedule.after(chance.logarithmic(100, 10_000), `${id} goes on`, () => process?.resume());
}

export function startAgain(world: World, edge: SimEdge, chance: Chance): void {
  world.schedule.after(chance.between(0, 1_000), `${edge.id} starts again`, () => edge.start());
}
