/**
 * What verbs share that run until they are told to stop: settings as flags, and the telling.
 */
import { type Command, Option } from "commander";
import { kebab, type Setting, type Settings } from "../settings.ts";

/** After this long a stopped program that still holds something open ends all the same, ms. */
const exitMs = 5_000;

/** A flag for each setting; each can also stand in a variable or in the file of `--config`. */
export function addSettings<Options>(command: Command, settings: Settings<Options>): void {
  command.option("--config <file>", "settings as JSON; each flag can stand there in camelCase (logFormat)");
  for (const [name, setting] of Object.entries<Setting<unknown>>(settings)) {
    const { placeholder, many, about, initial } = setting;
    if (placeholder === "") {
      command.option(`--${kebab(name)}`, about);
      continue;
    }
    const shown =
      initial === null || initial === "" || (many && [initial].flat().length === 0)
        ? ""
        : ` (default: ${textOf(initial)})`;
    const often = many ? "; may be given several times" : "";
    const option = new Option(`--${kebab(name)} <${placeholder.toLowerCase()}>`, `${about}${often}${shown}`);
    // Given twice, a flag reaches the options as a list; what takes one value refuses it there.
    command.addOption(option.argParser((text, before: string[] | undefined) => [...(before ?? []), text]));
  }
  command.addHelpText(
    "after",
    "\nEach flag can also be an environment variable (EVERWRITE_LOG_FORMAT) or stand in --config; flags win.",
  );
}

function textOf(initial: unknown): string {
  if (Array.isArray(initial)) return initial.join(" ");
  if (typeof initial !== "object" || initial === null) return String(initial);
  return Object.values(initial).join(":");
}

/**
 * Resolves at the first SIGINT or SIGTERM, or when the process that started this one over a channel has gone, at whatever
 * moment: also before this was called, or while it stops already. The second signal ends the process at once; whom
 * nobody is left to send one ends soon in any case.
 */
export function stopRequested(): Promise<undefined> {
  return new Promise((resolveStop) => {
    let stopping = false;
    const orphaned = (): void => {
      resolveStop(undefined);
      endSoon();
    };
    // It may have gone while modules were loaded: nobody listened to the event then. (Without a channel there is no `send`.)
    if (process.send !== undefined && !process.connected) orphaned();
    else process.once("disconnect", orphaned);
    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const) {
      process.on(signal, () => {
        if (stopping) process.exit(code);
        stopping = true;
        resolveStop(undefined);
      });
    }
  });
}

/** Call when all is stopped, or could not start: lets the process end, and sees to it that it does. */
export function exitSoon(): void {
  process.channel?.unref();
  endSoon();
}

function endSoon(): void {
  setTimeout(() => process.exit(1), exitMs).unref(); // fires only if something forgot to let go, or hangs
}
