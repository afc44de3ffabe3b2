/** Who asks others to forget keys would forget one of them itself (PROTOCOL 10): it has a whole record of it. */
import { methods } from "../../core/rpc/rpc.ts";
import type { NodeId } from "../../core/identity.ts";
import type { Tap } from "./network.ts";
import { objectOn } from "./rows.ts";
import type { World } from "./world.ts";

/** Once all has healed: before, what memory holds may hide that a record on the disk is damaged. */
export function watchReapLeads(world: World): Tap {
  return {
    asked: (from: NodeId, to: NodeId, body: Uint8Array) => {
      if (!world.healed || from === to || body[0] !== methods.prepareReap.number) return;
      const leader = world.hosts.find(({ id }) => id === from);
      if (leader === undefined) return;
      const { keys } = methods.prepareReap.request.decode(body.subarray(1));
      const isDamaged = (key: string): boolean => {
        const located = world.oracle.locate(key);
        const isThere = leader.disk.view.get("objects", located.row) !== undefined;
        return isThere && objectOn(leader.disk.view, located) === undefined;
      };
      world.oracle.checks += 1;
      if (keys.length === 0 || !keys.every(({ key }) => isDamaged(key))) return;
      const names = keys.map(({ key }) => key).join();
      const text = `${leader.name} asks ${to} to forget ${names}, of which its own records are damaged`;
      world.oracle.broken("who asks others to forget would do so itself", text);
    },
  };
}
