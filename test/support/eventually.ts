/** Waits for a condition; the limit is only there to end a test that hangs. */
export async function eventually(
  condition: () => Promise<boolean> | boolean,
  what: string | (() => string),
  limitMs = 30_000,
): Promise<void> {
  const endMs = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > endMs) {
      throw new Error(`waited ${limitMs} ms for ${typeof what === "string" ? what : what()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
