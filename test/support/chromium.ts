/**
 * Where Chromium is on this machine, and how it gets here when it is not.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { chromium } from "playwright";

/** As distributions call it. */
const programs = ["chromium", "chromium-browser", "google-chrome", "chrome"];
const advice =
  "No Chromium: install one (`npx playwright install chromium`, or your system's), or name its program in CHROME.";
/** Downloads on a slow line are fine, a hanging one is not. */
const installTimeoutMs = 180_000;

type Environment = Readonly<Record<string, string | undefined>>;

/** What `CHROME` names, else Playwright's own, else the system's; undefined where there is none. */
export function findChromium(environment: Environment = process.env): string | undefined {
  const { CHROME: named, PATH: path = "" } = environment;
  if (named !== undefined) return named;
  const onPath = path.split(delimiter).flatMap((folder) => programs.map((program) => join(folder, program)));
  return [chromium.executablePath(), ...onPath].find(isProgram);
}

/** Gets Chromium where there is none: says what it does, and throws one line that tells how to when it cannot. */
export function needChromium(): string {
  const found = findChromium() ?? install(playwrightInstall());
  if (found !== undefined) return found;
  const asRoot = process.getuid?.() === 0 ? install(["apt-get", "install", "-y", "-qq", "chromium"]) : undefined;
  if (asRoot !== undefined) return asRoot;
  throw new Error(advice);
}

function install([program, ...args]: readonly [string, ...string[]]): string | undefined {
  console.log(`No Chromium found, trying: ${[program, ...args].join(" ")}`);
  spawnSync(program, args, { stdio: "ignore", timeout: installTimeoutMs });
  return findChromium();
}

/** What `npx playwright install chromium` runs, without a shell on every platform. */
function playwrightInstall(): readonly [string, ...string[]] {
  const folder = dirname(createRequire(import.meta.url).resolve("playwright/package.json"));
  return [process.execPath, join(folder, "cli.js"), "install", "chromium"];
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
