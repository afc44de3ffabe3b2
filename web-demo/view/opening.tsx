/** What is shown while there is no shop yet. */

/** A host waits for its place on the ring. */
export function Joining() {
  return (
    <main class="page">
      <h1>Joining the ring of browsers</h1>
      <p role="status">This page looks for the others at the relay, and takes its share of the data …</p>
    </main>
  );
}

interface CannotOpenProps {
  readonly reason: string;
  /** As the address names it. */
  readonly ring: string | null;
}

export function CannotOpen({ reason, ring }: CannotOpenProps) {
  return (
    <main class="page">
      <h1>The shop cannot open</h1>
      <p role="alert">{reason}</p>
      <p class="actions">
        <button type="button" onClick={() => location.reload()}>
          Try again
        </button>
        {ring !== null && (
          <a class="button quiet" href={linkToRing("hosts")}>
            To the shop on hosts
          </a>
        )}
      </p>
    </main>
  );
}

/** The same page on another ring. */
export function linkToRing(ring: "hosts" | "browsers"): string {
  const url = new URL(location.href);
  if (ring === "hosts") url.searchParams.delete("ring");
  else url.searchParams.set("ring", ring);
  url.hash = "#/";
  return url.href;
}
