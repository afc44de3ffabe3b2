#!/usr/bin/env node
/** The `everwrite` command. */
import { run } from "./cli.ts";

// `everwrite list carts | head -1`: the reader has what it wanted, and that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exitCode = await run(process.argv.slice(2), process);
