/** How the stream is, for whoever shows prices: an observable value, and the error that a final refusal is. */

import type { Problem } from './events.js'

/**
 * Why the stream is not live:
 * `lost` the connection ended; `silent` its heartbeats stopped; `unanswered` nothing came back (over HTTP/1.1 a browser has six
 * connections to a host, and the seventh waits); `bye` the server ended it in order; `fault` the server has no room for it now;
 * `refused` a status that an `EventSource` does not survive; `ticket` your `ticket` function failed; `unsupported` there is
 * no `EventSource` here.
 */
export type ReasonCode = 'lost' | 'silent' | 'unanswered' | 'bye' | 'fault' | 'refused' | 'ticket' | 'unsupported'

export interface Reason {
  readonly code: ReasonCode
  /** For people who develop; it may change. */
  readonly text: string
  /** With `refused`: the status, where it could be found out. */
  readonly status?: number
  /** With `refused`: what the server said. */
  readonly problem?: Problem
}

export interface Status {
  /**
   * `idle` nothing is asked for; `connecting` an attempt runs; `live`; `waiting` for the next attempt; `refused` for good: what was
   * asked for is wrong or not allowed, and nothing more is tried until that changes or `retry()` is called.
   */
  readonly state: 'idle' | 'connecting' | 'live' | 'waiting' | 'refused'
  /** Why it is not live, or was not before this attempt; `null` while it is live. */
  readonly reason: Reason | null
  /** Milliseconds since 1970; `null` where nothing is planned. */
  readonly nextAttemptAt: number | null
  /** Attempts that failed in a row. */
  readonly failures: number
  /** Whose stream it is: this page's for other tabs too, another tab's, or this page's alone. */
  readonly stream: 'leader' | 'follower' | 'own'
}

/** The server refused for good what was asked for. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  /** The HTTP status; `null` where there was none (no `EventSource` in this browser). */
  readonly status: number | null
  readonly problem: Problem | null

  constructor(readonly reason: Reason) {
    super(reason.text)
    this.status = reason.status ?? null
    this.problem = reason.problem ?? null
  }
}
