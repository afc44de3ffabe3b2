/** The few assertions of suites that run in pages too, where `node:assert` is not. */

export function ok(condition: boolean, message = "expected to be true"): asserts condition {
  if (!condition) throw new Error(message);
}

export function equal(actual: unknown, expected: unknown): void {
  ok(Object.is(actual, expected), `${show(actual)} is not ${show(expected)}`);
}

/** Of lists of primitive values. */
export function deepEqual(actual: readonly unknown[], expected: readonly unknown[]): void {
  const isEqual = actual.length === expected.length && actual.every((value, at) => Object.is(value, expected[at]));
  ok(isEqual, `${show(actual)} is not ${show(expected)}`);
}

export async function rejects(promise: Promise<unknown>, isExpected: (error: unknown) => boolean): Promise<void> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error: unknown) {
    if (isExpected(error)) return;
    throw error;
  }
  throw new Error(`expected a rejection, not ${show(value)}`);
}

function show(value: unknown): string {
  return value === undefined ? "undefined" : JSON.stringify(value);
}
