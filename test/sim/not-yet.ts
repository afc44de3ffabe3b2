/**
 * What the core does not keep yet, so that the swarm finds new faults and not these again and again. Each is a rule that
 * is switched off or loosened; switch it on with the core's fix.
 */

/** Until there is anti-entropy, states spread by the simulator's own reads (I4 wants it without). */
export const clientReadsHeal = false;

/** Two records of one incarnation with different marks count as the same record in an exchange. */
export const restoredCopiesAreNoticed = false;

/** A stand-in and the owner that it stands for count as two copies, and become one when the hint is delivered (I7). */
export const standInsCountTwice = false;

/** A hint that points at the own object is not delivered once the host is no complete holder any more (I10). */
export const hintsDrain = true;
