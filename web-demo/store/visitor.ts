/** Which carts a visitor has: their own, and those that they were given a link to. */

export interface Visitor {
  /** Ids, oldest first. */
  readonly carts: readonly string[];
  /** The one that was on the screen last. */
  readonly current: string;
}

/** Shows a cart, and lists it. */
export function withCart(visitor: Visitor, id: string): Visitor {
  return { carts: [...new Set([...visitor.carts, id])], current: id };
}

/** Off the list; another is shown then. */
export function withoutCart({ carts, current }: Visitor, id: string): Visitor {
  const left = carts.filter((each) => each !== id);
  return { carts: left, current: current === id ? (left.at(-1) ?? id) : current };
}

/** @throws TypeError */
export function checkVisitor(value: unknown): Visitor {
  const { carts, current } = (value ?? {}) as { carts?: unknown; current?: unknown };
  if (!Array.isArray(carts) || ![current, ...carts].every((id) => typeof id === "string")) {
    throw new TypeError("carts are a list of ids");
  }
  return { carts, current: current as string };
}

/** All carts of all versions; one that a version has put away may come back, and is put away again. */
export function unionOfVisitors(versions: readonly Visitor[]): Visitor {
  const carts = [...new Set(versions.flatMap((version) => version.carts))].toSorted();
  const [current = ""] = versions.map((version) => version.current).toSorted();
  return { carts, current };
}
