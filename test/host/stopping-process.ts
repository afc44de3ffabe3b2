/** A program that is told to stop, and then hangs. */
import { stopRequested } from "../../node-host/cli/service.ts";

const stop = stopRequested();
setInterval(() => {}, 1_000);
process.stdout.write('{"event":"begun"}\n');
await stop;
process.stdout.write('{"event":"stopping"}\n');
