import { openClassicStorage } from "../../node-host/classic-storage.ts";
import { storageConformance } from "../conformance/storage-tests.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

storageConformance("ClassicStorage", async () => {
  const directory = temporaryDirectory();
  const storage = await openClassicStorage({ directory });
  const reopen = async () => {
    await storage.close();
    return openClassicStorage({ directory });
  };
  return { storage, reopen };
});
