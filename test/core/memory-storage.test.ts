import { MemoryStorage } from "../../core/storage/memory-storage.ts";
import { storageConformance } from "../conformance/storage.ts";

storageConformance("MemoryStorage", async () => ({ storage: new MemoryStorage() }));
