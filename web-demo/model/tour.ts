/**
 * Five scenes, played with the real store, the real network and the real hosts: a scene only says what to do and what to
 * wait for.
 */
import { quantityOf } from "../store/cart.ts";
import type { Control } from "./control.ts";
import type { Lab } from "./lab.ts";
import type { ShopModel } from "./shop-model.ts";

/** One device on the stage. */
export interface Player {
  readonly model: ShopModel;
  readonly lab: Lab;
}

export interface Stage {
  /** This page. */
  readonly here: Player;
  /** A second node of this browser, with a database and connections of its own. */
  readonly there: Player;
  readonly control: Control | undefined;
}

export interface Step {
  /** On the button. */
  readonly name: string;
  /** Shown once it is done. */
  readonly after: string;
  /** Resolves when it has happened. */
  play(stage: Stage): Promise<void>;
}

export interface Scene {
  readonly title: string;
  readonly about: string;
  readonly steps: readonly Step[];
  /** Processes of this machine are in it. */
  readonly needsHosts: boolean;
}

const lookMs = 100;

/** A visitor who leaves the scene ends the waiting with the page's; there is nothing that could be late. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, lookMs));
}

const isIn =
  (...articles: readonly string[]) =>
  ({ model }: Player): boolean => {
    const { cart } = model.session.value.state.value;
    return articles.every((article) => quantityOf(cart, article) > 0);
  };

const players = ({ here, there }: Stage): readonly Player[] => [here, there];

/** Cut off, and aware of it. */
async function goOffline(player: Player): Promise<void> {
  player.lab.setNetwork("off");
  await until(() => !player.model.status.value.connected);
}

async function goOnline(player: Player): Promise<void> {
  player.lab.setNetwork("on");
  await until(() => player.model.status.value.connected && player.model.status.value.pending === 0);
}

async function add({ model }: Player, ...articles: readonly string[]): Promise<void> {
  for (const article of articles) await model.session.value.add(article);
}

/** Whom the cart's partition names first, by number. */
async function firstOwner({ here, control }: Stage): Promise<number> {
  const { id, settings } = here.model.session.value.state.value;
  const asked = control!.hosts.value.find(({ state }) => state === "running")!;
  const { preferenceList } = await control!.explain(asked.number, `${here.model.shop.carts(settings.rule).name}/${id}`);
  const owner = control!.hosts.value.find((host) => host.id === preferenceList[0]?.id);
  return (owner ?? asked).number;
}

async function hintsWaiting({ control }: Stage): Promise<number> {
  const running = control!.hosts.value.filter(({ state }) => state === "running");
  const statuses = await Promise.all(running.map(({ number }) => control!.status(number).catch(() => undefined)));
  return statuses.reduce((sum, status) => sum + (status?.hints ?? 0), 0);
}

const concurrentAdds: Scene = {
  title: "Two devices add at once",
  about: "Neither can ask the other, nor any host. Both go on, and nothing is lost.",
  needsHosts: false,
  steps: [
    {
      name: "Cut both devices off",
      after: "Every connection of both is closed. Adding still works, for it is written on the device.",
      play: async (stage) => void (await Promise.all(players(stage).map(goOffline))),
    },
    {
      name: "Add tea here, a kite there",
      after: "Two versions of one cart now, written without knowledge of each other: siblings.",
      play: async ({ here, there }) => void (await Promise.all([add(here, "tea"), add(there, "kite")])),
    },
    {
      name: "Connect both",
      after: "The hosts kept both versions, and the cart's rule made one of them, the same on both devices.",
      async play(stage) {
        await Promise.all(players(stage).map(goOnline));
        await until(() => players(stage).every(isIn("tea", "kite")));
      },
    },
  ],
};

const hostDies: Scene = {
  title: "A host dies",
  about: "A host that owns this cart is killed with SIGKILL. Nobody waits for it.",
  needsHosts: true,
  steps: [
    {
      name: "Kill the first owner of this cart",
      after: "Its process is gone. The other owners take every write.",
      async play(stage) {
        const number = await firstOwner(stage);
        await stage.control!.act(number, "kill");
        await until(() =>
          stage.control!.hosts.value.some((host) => host.number === number && host.state === "stopped"),
        );
      },
    },
    {
      name: "Add a lamp and a cup",
      after: "Acknowledged by the hosts that are there; what the dead one misses is noted for it.",
      play: async ({ here }) => add(here, "lamp", "cup"),
    },
    {
      name: "Start it again",
      after: "It was handed what it had missed: hints, or found by comparing hash trees. Your changes are everywhere.",
      async play(stage) {
        const dead = stage.control!.hosts.value.filter(({ state }) => state === "stopped");
        for (const { number } of dead) await stage.control!.act(number, "restart");
        await until(() => stage.control!.hosts.value.every(({ state }) => state === "running"));
        await until(async () => (await hintsWaiting(stage)) === 0);
        await until(() =>
          stage.here.model.session.value.changes.entries.value.every(({ saved }) => saved.kind === "everywhere"),
        );
      },
    },
  ],
};

const dayOffline: Scene = {
  title: "A day offline",
  about: "A device without a network is a shop of its own: it opens, finds, keeps and even sells.",
  needsHosts: false,
  steps: [
    {
      name: "Cut this device off",
      after: "The page itself comes from this device too, so you may reload it now.",
      play: async ({ here }) => goOffline(here),
    },
    {
      name: "Add a map, a rope and soap",
      after: "They wait on this device, however long: unsent writes are kept like any others, and sent at any age.",
      play: async ({ here }) => add(here, "map", "rope", "soap"),
    },
    {
      name: "Let a day pass",
      after:
        "This device's clock is a day ahead, and whatever the store times was due. It has given up nothing: what was not sent " +
        "is still here.",
      play: async ({ here }) => here.lab.letADayPass(),
    },
    {
      name: "Connect again",
      after: "All of it is at the hosts, and on the other device.",
      async play(stage) {
        await goOnline(stage.here);
        await until(() => isIn("map", "rope", "soap")(stage.there));
      },
    },
  ],
};

const hostJoins: Scene = {
  title: "A host joins",
  about: "A new process takes its share of the ring from the others, while the shop goes on.",
  needsHosts: true,
  steps: [
    {
      name: "Start another host",
      after: "It took its share of the partitions, and copied what is in them.",
      async play({ control }) {
        const before = control!.hosts.value.length;
        await control!.addHost();
        await until(() => control!.hosts.value.filter(({ state }) => state === "running").length > before);
        await until(async () => {
          const { number } = control!.hosts.value.at(-1)!;
          const { owned, everywhere } = (await control!.status(number)).partitions;
          return owned > 0 && everywhere.filling === 0;
        });
      },
    },
    {
      name: "Add jam",
      after: "Where it lives now is under the hood: only the partitions that moved have other owners.",
      play: async ({ here }) => add(here, "jam"),
    },
    {
      name: "Let it leave again",
      after: "It handed everything back before its process ended.",
      async play({ control }) {
        const { number } = control!.hosts.value.at(-1)!;
        // Refused while partitions are still on their way from the step before.
        await until(async () => {
          await control!.act(number, "leave");
          return control!.problem.value === undefined;
        });
        await until(() => control!.hosts.value.every((host) => host.number !== number));
      },
    },
  ],
};

const deleteAgainstAdd: Scene = {
  title: "Delete against add",
  about: "One device takes an article out, while another, which does not know, changes its version.",
  needsHosts: false,
  steps: [
    {
      name: "Put a bell into the cart",
      after: "Both devices show it.",
      async play(stage) {
        await add(stage.here, "bell");
        await until(() => players(stage).every(isIn("bell")));
      },
    },
    {
      name: "Cut the other device off",
      after: "It goes on with what it has: a cart with a bell.",
      play: async ({ there }) => goOffline(there),
    },
    {
      name: "Take the bell out here, add a book there",
      after: "Here a cart without a bell; there one with a bell and a book.",
      async play({ here, there }) {
        await here.model.session.value.setQuantity("bell", 0);
        await add(there, "book");
      },
    },
    {
      name: "Connect it again",
      after: "What became of the bell is the rule's doing: the cards below say it.",
      async play(stage) {
        await goOnline(stage.there);
        await until(() => players(stage).every(isIn("book")));
      },
    },
    {
      name: "The same with a CRDT cart",
      after:
        "The bell stays out: this cart knows that the bell of the other device is the very one that was taken out here. " +
        "Only one that was added at the same time would be there.",
      async play(stage) {
        await stage.here.model.session.value.setRule("crdt");
        await until(() =>
          players(stage).every(({ model }) => model.session.value.state.value.settings.rule === "crdt"),
        );
        await add(stage.here, "bell");
        await until(() => players(stage).every(isIn("bell")));
        await goOffline(stage.there);
        await stage.here.model.session.value.setQuantity("bell", 0);
        await add(stage.there, "pen");
        await goOnline(stage.there);
        await until(() => players(stage).every((player) => isIn("pen")(player) && !isIn("bell")(player)));
      },
    },
  ],
};

export const scenes: readonly Scene[] = [concurrentAdds, hostDies, dayOffline, hostJoins, deleteAgainstAdd];
