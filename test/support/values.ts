/** Short ways to write down values and expected errors. */
import { StoreError, type StoreErrorCode } from "../../core/errors.ts";

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The bodies as sorted texts. */
export const texts = (values: readonly { readonly body: Uint8Array }[]): string[] =>
  values.map(({ body }) => new TextDecoder().decode(body)).toSorted();

/** For `assert.rejects` and `assert.throws`. */
export const failsWith = (code: StoreErrorCode) => (error: unknown) =>
  error instanceof StoreError && error.code === code;

/** Resolves when everything that waits for nothing outside has run. */
export const microtasks = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
