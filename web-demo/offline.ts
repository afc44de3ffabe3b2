/** The page without its server: a service worker keeps the files of the build (`build/service-worker.ts`). */

/** Browsers look for a new version of the worker by themselves once a day only. What it brings is shown by the next load. */
export async function keepOffline(): Promise<void> {
  if (!("serviceWorker" in navigator)) return; // not over plain HTTP, but on loopback
  const registration = await navigator.serviceWorker.register("./sw.js");
  // Without the server the kept version does.
  if (navigator.onLine) await registration.update().catch(() => undefined);
}
