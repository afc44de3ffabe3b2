/**
 * Flags of Node for a process that runs a host; they cannot be set once it runs. Hosts work without them.
 *
 * A young generation of twice Node's default: what a request makes is dead by the time that it is looked at, instead of
 * being moved to the old one (6 to 12 % of a busy host's processor time where that was measured, 0 to 1 % where requests waited 200 ms for a
 * processor). An idle host may keep up to 32 MB more for it.
 */
export const hostNodeFlags: readonly string[] = ["--max-semi-space-size=32"];
