/** How long to wait before the next attempt; a calculation. */

const FIRST_MS = 1000
const MOST_MS = 30_000

/**
 * Milliseconds until the attempt after `failures` failed ones (from 0): between half and one and a half of a wait that doubles
 * from one second to thirty. The spread grows with it, so that clients which lost a server together do not come back together.
 */
export function backoff(failures: number, random: number): number {
  return Math.round(Math.min(MOST_MS, FIRST_MS * 2 ** failures) * (0.5 + random))
}
