import { MemoryStorage } from "../../core/storage/memory-storage.ts";
import { storageConformance } from "../conformance/storage-tests.ts";

storageConformance("MemoryStorage", async () => ({ storage: new MemoryStorage() }));
