/** Calls of a process by those who use it, which may end before it answers. */
export class Calls {
  readonly #waiting = new Set<() => void>();

  /** What the call gives; `died` when the process ends before that, be it within the call's first step. */
  async run<T>(begin: () => Promise<T>): Promise<T | "died"> {
    let abandon = (): void => {};
    const gone = new Promise<"died">((resolve) => {
      abandon = () => resolve("died");
    });
    this.#waiting.add(abandon);
    try {
      return await Promise.race([begin(), gone]);
    } finally {
      this.#waiting.delete(abandon);
    }
  }

  /** The process has ended. */
  abandon(): void {
    for (const abandon of this.#waiting) abandon();
    this.#waiting.clear();
  }
}
