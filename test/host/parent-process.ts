/** Starts a program over a channel and waits to be killed: what a test or `npm start` is to its hosts. */
import { spawn } from "node:child_process";

const child = spawn(process.execPath, process.argv.slice(2), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
process.stdout.write(`{"event":"spawned","pid":${child.pid}}\n`);
