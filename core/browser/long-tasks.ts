/** What holds up the main thread of a page: whoever uses the page waits for it, as clients of a host do for a slow answer. */
import type { Stop } from "../ports.ts";

/** Tells each task of 50 ms or more, whoever ran it, ms. Only Chromium's browsers know; in others nothing is told. */
export function onLongTask(hear: (ms: number) => void): Stop {
  if (!PerformanceObserver.supportedEntryTypes.includes("longtask")) return () => undefined;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) hear(duration);
  });
  observer.observe({ type: "longtask" });
  return () => observer.disconnect();
}
