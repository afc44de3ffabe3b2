/** What an edge makes of the hosts' refusals: who or what may still take the write, or answer the question. */
import { StoreError, type StoreErrorCode } from "../errors.ts";

/** A host could not answer; nothing was wrong with what it was asked. */
const ofOneHost: readonly StoreErrorCode[] = [
  "not-ready",
  "not-member",
  "overloaded",
  "closed",
  "storage-full",
  "corrupt",
  "internal",
];

function isOneOf(error: unknown, ...codes: readonly StoreErrorCode[]): boolean {
  return error instanceof StoreError && codes.includes(error.code);
}

/** Another host may well answer. */
export function isOfOneHost(error: unknown): boolean {
  return isOneOf(error, ...ofOneHost, "clock-skew");
}

export function isUnanswered(error: unknown): boolean {
  return isOneOf(error, ...ofOneHost, "quorum-not-met");
}

/** Refusals that another try, another host or another day may end. Whatever else hosts refuse, they refuse for good. */
export function isPassing(error: unknown): boolean {
  return isUnanswered(error) || isOneOf(error, "unauthorized");
}

/** It may have become a write at some host, or not. */
export function isUnknown(error: unknown): boolean {
  return isOneOf(error, "outcome-unknown");
}
