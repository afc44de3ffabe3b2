/** Hosts that pages reach: each listens for WebSockets, too. */
import { HostProcesses } from "./host-processes.ts";
import { freePort } from "./ports.ts";

export interface PageHosts extends AsyncDisposable {
  readonly hosts: HostProcesses;
  /** Where pages reach them. */
  readonly seeds: readonly string[];
}

export async function pageHosts(count: number, cluster: string, folder: string): Promise<PageHosts> {
  const hosts = new HostProcesses(folder);
  const seeds: string[] = [];
  for (let i = 0; i < count; i += 1) {
    const address = `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;
    seeds.push(address);
    await hosts.add({ flags: ["--p2p", address, "--cluster", cluster] });
  }
  await hosts.settled();
  return { hosts, seeds, [Symbol.asyncDispose]: () => hosts.stop() };
}
