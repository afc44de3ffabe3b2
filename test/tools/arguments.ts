/**
 * The command line of the project's own commands. `--help` prints the usage and ends the program with 0; what it does not know
 * prints it too and ends with 2: a typing error must not look like a pass.
 */
import { parseArgs, type ParseArgsConfig } from "node:util";

type Options = NonNullable<ParseArgsConfig["options"]>;
type Parsed<Known extends Options> = ReturnType<typeof parseArgs<{ allowPositionals: true; options: Known }>>;

export function readArguments<const Known extends Options>(usage: string, options: Known): Parsed<Known> {
  if (process.argv.includes("--help")) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return parseArgs({ allowPositionals: true, options });
  } catch (error) {
    console.error(`${(error as Error).message.split(". ")[0]}\n${usage}`);
    process.exit(2);
  }
}
