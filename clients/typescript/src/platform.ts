/**
 * What the client needs of the browser: clock, timers, frames, streams, locks, and word of sleep and wake-up. Everything
 * goes through here, so that tests can be the browser.
 */

/** Why a page is awake: seen again, back from the back/forward cache or from being frozen, or on a network again. */
export type Wake = 'seen' | 'restored' | 'resumed' | 'online'

/** The part of `EventSource` that is used. */
export interface Source {
  readonly readyState: number
  onerror: ((event: Event) => void) | null
  addEventListener(name: string, listener: (event: MessageEvent<string>) => void): void
  close(): void
}

/** The part of `BroadcastChannel` that is used. */
export interface Channel {
  onmessage: ((event: MessageEvent<unknown>) => void) | null
  postMessage(message: unknown): void
  close(): void
}

/** The part of `LockManager` that is used. */
export interface Locks {
  request(name: string, options: { signal?: AbortSignal; steal?: boolean }, held: () => Promise<void> | void): Promise<unknown>
}

export interface Platform {
  /** Milliseconds since 1970. */
  now(): number
  /** From 0 up to, and without, 1. */
  random(): number
  /** Calls `then` once, after `ms`; what it returns calls it off. */
  after(ms: number, then: () => void): () => void
  /** Calls `then` with the next frame; `false` where nothing is painted (a worker), so that it never will. */
  frame(then: () => void): boolean
  /** Whether the page is in the background. */
  hidden(): boolean
  /** The page's address, for relative ones. */
  base(): string | undefined
  /** `null` where there is no `EventSource`. */
  open(url: string, withCredentials: boolean): Source | null
  fetch(url: string, init: RequestInit): Promise<Response>
  /** `null` outside secure contexts (plain http to another machine) and where there are none. */
  locks(): Locks | null
  channel(name: string): Channel | null
  /** Tells of sleep and wake-up until what it returns is called. */
  lifecycle(wake: (why: Wake) => void, sleep: () => void): () => void
  /** For what a subscriber's function threw: it must not hold up others. */
  report(error: unknown): void
}

export const browser: Platform = {
  now: () => Date.now(),
  random: () => Math.random(),
  after(ms, then) {
    const timer = setTimeout(then, ms)
    return () => clearTimeout(timer)
  },
  frame(then) {
    if (typeof requestAnimationFrame !== 'function') return false
    requestAnimationFrame(then)
    return true
  },
  hidden: () => typeof document === 'object' && document.hidden,
  base: () => (typeof document === 'object' ? document.baseURI : undefined),
  open: (url, withCredentials) => (typeof EventSource === 'function' ? new EventSource(url, { withCredentials }) : null),
  fetch: (url, init) => fetch(url, init),
  locks: () => (typeof navigator === 'object' && navigator.locks ? (navigator.locks as Locks) : null),
  channel: name => (typeof BroadcastChannel === 'function' ? new BroadcastChannel(name) : null),
  lifecycle(wake, sleep) {
    if (typeof document !== 'object') return () => undefined
    const ends = new AbortController()
    const on = (target: EventTarget, name: string, then: (event: Event) => void) =>
      target.addEventListener(name, then, { signal: ends.signal })
    on(document, 'visibilitychange', () => document.hidden || wake('seen'))
    on(document, 'freeze', sleep)
    on(document, 'resume', () => wake('resumed'))
    on(window, 'pagehide', sleep)
    on(window, 'pageshow', event => (event as PageTransitionEvent).persisted && wake('restored'))
    on(window, 'online', () => wake('online'))
    return () => ends.abort()
  },
  report(error) {
    if (typeof reportError === 'function') reportError(error)
    else console.error(error)
  },
}
