/** Between the view library and the model. */
import { useEffect, useState } from "preact/hooks";
import type { Observable } from "../model/observable.ts";

export function useObservable<T>(observable: Observable<T>): T {
  const [shown, show] = useState({ observable, value: observable.value });
  useEffect(() => {
    const look = (): void => show({ observable, value: observable.value });
    look(); // what changed since it was drawn
    return observable.subscribe(look);
  }, [observable]);
  return shown.observable === observable ? shown.value : observable.value;
}

/** What the address names after its `#/`, in parts. */
export function useRoute(): readonly string[] {
  const [route, setRoute] = useState(routeNow);
  useEffect(() => {
    const look = (): void => setRoute(routeNow());
    window.addEventListener("hashchange", look);
    return () => window.removeEventListener("hashchange", look);
  }, []);
  return route;
}

function routeNow(): readonly string[] {
  return location.hash.replace(/^#\/?/, "").split("/");
}
