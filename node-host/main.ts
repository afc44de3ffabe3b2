#!/usr/bin/env node
/** The `everwrite` command. */
import { run } from "./cli.ts";

const args = process.argv.slice(2);
/** It goes on although nobody reads any more what it says. */
const isService = args[0] === "host" || args[0] === "relay";

for (const output of [process.stdout, process.stderr]) {
  output.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    // `everwrite list carts | head -1`: the reader has what it wanted, and that is no failure.
    if (output === process.stdout && !isService) process.exit(0);
  });
}

process.exitCode = await run(args, process);
