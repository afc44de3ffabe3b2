/** A process that has a reservation at the relay of its argument, for the test that stops one. */
import { eventually } from "../support/eventually.ts";
import { Visitor } from "../support/visitor.ts";

const visitor = await Visitor.start(process.argv[2]!);
process.on("disconnect", () => process.exit());
await eventually(() => visitor.addresses.length > 0, "it has a reservation");
process.send?.("found");
