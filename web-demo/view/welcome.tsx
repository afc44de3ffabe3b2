/** What the page is about, for whoever comes here first. */

import type { Lab } from "../model/lab.ts";

const wayOf: Readonly<Record<Lab["ring"], string>> = {
  hosts:
    "Each item you add is written on this device first, then on three hosts. Kill a host, cut the network, shop on two devices at once.",
  browsers:
    "There is no server in it: this page is a host, and so is every browser that has this shop open. Close one of three, kill the relay at which they met.",
};

export function Welcome({ ring }: Pick<Lab, "ring">) {
  return (
    <section class="welcome" aria-labelledby="welcome-title">
      <h1 id="welcome-title">A cart that never says no</h1>
      <p>
        Your cart lives in <strong>Everwrite</strong>, a store after Amazon's Dynamo. {wayOf[ring]} Adding always works,
        and the versions come together afterwards.
      </p>
      <p>
        {ring === "hosts" ? (
          <a class="button" href="#/tour/0/0">
            Take the tour
          </a>
        ) : (
          <a class="button" href="#/lab">
            Invite other browsers, kill the relay
          </a>
        )}
      </p>
      <details>
        <summary>What “always writable” means, and what it costs</summary>
        <ul>
          <li>
            <strong>No write waits for a machine that is away.</strong> Another host keeps a note for it and hands it
            over later; offline, this device keeps it.
          </li>
          <li>
            <strong>No acknowledged write is dropped.</strong> If two devices change a cart without knowing of each
            other, both versions are kept until someone merges them by a rule: choose one beside the cart.
          </li>
          <li>
            <strong>The price:</strong> for a while two devices may see different carts, and a simple rule can bring a
            deleted item back. The shop tells you whenever that happens.
          </li>
          <li>
            <strong>What it does not do:</strong> save a change that only this device has, if this device is lost. The
            mark beside each change says where it is.
          </li>
        </ul>
      </details>
    </section>
  );
}
