/**
 * `everwrite/node`: a host inside an application's own Node process, with the same parts as `everwrite host`.
 *
 * @example
 * import { startHost, hostOptions } from "everwrite/node";
 * const host = await startHost(hostOptions({ data: "/var/lib/shop", http: "127.0.0.1:7070" }));
 * await host.ready;
 * await host.node.put("carts", "alice", new TextEncoder().encode("[]"));
 * await host.stop();
 */
export { openClassicStorage, type ClassicStorageOptions } from "./classic-storage.ts";
export { type RunningHost, startHost } from "./host.ts";
export { type HostOptions, readHostOptions as hostOptions } from "./options.ts";
