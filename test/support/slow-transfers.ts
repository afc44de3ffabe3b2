/** Loaded into a host before anything else (`--import`): it moves partitions at `TRANSFER_BYTES_PER_SECOND`. */
import { nodeDefaults } from "../../core/config.ts";

Object.assign(nodeDefaults, { transferBytesPerSecondMax: Number(process.env["TRANSFER_BYTES_PER_SECOND"]) });
