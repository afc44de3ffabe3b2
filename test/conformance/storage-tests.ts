/** Calls the rules of a `Storage` as tests of Node. */
import { after, before, describe, test } from "node:test";
import { storageSuite, type Opened } from "./storage.ts";

export function storageConformance(name: string, openEmpty: () => Promise<Opened>): void {
  describe(`${name} is a Storage`, { timeout: 60_000 }, () => {
    const suite = storageSuite(openEmpty);
    before(suite.open);
    after(suite.close);
    for (const { name, check } of suite.rules) test(name, check);
  });
}
