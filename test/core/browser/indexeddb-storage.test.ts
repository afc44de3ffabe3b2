import { openIndexedDbStorage } from "../../../core/browser/indexeddb-storage.ts";
import { storageConformance } from "../../conformance/storage-tests.ts";
import { installFakeIndexedDb } from "../../support/fake-indexeddb.ts";

installFakeIndexedDb();

let stores = 0;

storageConformance("IndexedDbStorage over fake-indexeddb", async () => {
  const name = `store ${stores++}`;
  const open = () => openIndexedDbStorage({ name, estimate: async () => ({ usage: 4_096, quota: 1_000_000 }) });
  const storage = await open();
  const reopen = async () => {
    await storage.close();
    return open();
  };
  return { storage, reopen };
});
