/**
 * One stream that is kept open: it is opened, watched, and opened again with the last id. It knows events and time, nothing
 * of tabs, subscribers or screens.
 *
 * A browser's `EventSource` would reconnect by itself, but it cannot say when, dies for good at any status but 200, does not
 * notice a dead line, and repeats an address whose ticket is used up. So every end is ours: closed, waited out, opened anew.
 */

import { backoff } from './backoff.js'
import { EVENT_NAMES, type Events, type Hello, type Notice, type Problem } from './events.js'
import type { Platform, Source, Wake } from './platform.js'
import type { Reason, Status } from './status.js'
import { address, cursorKey, wishKey, type Group, type Wish } from './wish.js'

/** How often a stream is looked at. */
export const TICK_MS = 1000
/** Without a sign of life for this many heartbeats a stream is dead. */
const SILENT_HEARTBEATS = 2.5
/** After a wake-up, a stream that says nothing for this long is opened anew. */
export const GRACE_MS = 2000
/** A timer this late was held up: by sleep, by a background tab, by a busy page. */
const LATE_MS = 5000
/** How long an attempt may take until the server's first word; the first ones less, since that comes at once. */
const ANSWER_MS = [5000, 5000, 5000, 15_000] as const
/** After which the stream that is to be replaced is closed: it may have the connection that its successor waits for. */
const REPLACE_MS = 3000
/** Those that wake up together do not come back together. */
const WAKE_SPREAD_MS = 300
/** A used or expired ticket is no reason to give up; this many fresh ones refused are. */
const TICKETS_MAX = 2
/** What a server says in these is about the request, and stays so. */
const FINAL = new Set([400, 401, 403, 404])
const OURS = 'urn:tickcast:problem:'
const CLOSED = 2

export interface StreamListener {
  /** An event as it came; `id` is the cursor after it. */
  event(name: keyof Events, data: string, id: string): void
  status(status: Omit<Status, 'stream'>): void
}

export type GetTicket = (symbols: readonly string[]) => Promise<string>

/** Where a stream was left: an id, and what it holds for. */
export interface Cursor {
  readonly id: string
  readonly key: string
}

interface Attempt {
  readonly source: Source
  readonly key: string
  /** Whether the server has said something. */
  heard: boolean
}

type State = Omit<Status, 'stream'>
export const IDLE: State = { state: 'idle', reason: null, nextAttemptAt: null, failures: 0 }

export class Stream {
  #wish: Wish | null = null
  #attempt: Attempt | null = null
  /** What goes on until its replacement has said something. */
  #old: Attempt | null = null
  /** Goes up whenever what is under way is no longer wanted. */
  #turn = 0
  #state: State = IDLE
  #failures = 0
  #tickets = 0
  #openedAt = 0
  #aliveAt = 0
  #suspectedAt: number | null = null
  #checkedAt = 0
  #heartbeat = 0
  #cancelNext: () => void = () => undefined
  #cancelTick: (() => void) | null = null

  constructor(
    private readonly platform: Platform,
    private readonly group: Group,
    private readonly listener: StreamListener,
    private readonly ticket: () => GetTicket | null,
    public cursor: Cursor = { id: '', key: '' },
  ) {}

  /** Follows this from now on. What is open goes on until its replacement speaks, so prices do not stand still meanwhile. */
  want(wish: Wish): void {
    if (this.#wish && wishKey(wish) === wishKey(this.#wish)) return
    this.#wish = wish
    if (!wish.symbols.length) return this.stop()
    // A server that asked for patience gets it; the next attempt asks for the new list.
    if (this.#state.state === 'waiting') return
    this.#open()
  }

  /** Tries now, whatever was planned. */
  retry(): void {
    if (!this.#wish?.symbols.length || this.#state.state === 'live') return
    this.#failures = this.#tickets = 0
    this.#open()
  }

  /** Closes it. The cursor is kept. */
  stop(): void {
    this.#wish = null
    this.#close()
    this.#cancelTick?.()
    this.#cancelTick = null
    this.#failures = this.#tickets = 0
    this.#say(IDLE)
  }

  /** The page woke up: what looks open may have died meanwhile, and who waits need not any longer. */
  woke(why: Wake): void {
    const { state, reason } = this.#state
    if (state === 'waiting' && reason?.code !== 'bye' && reason?.code !== 'fault') {
      this.#wait(this.platform.random() * WAKE_SPREAD_MS, reason)
    } else if (state === 'live') {
      // A page that was only out of sight had its stream all the time.
      const overdue = this.#heartbeat > 0 && this.platform.now() - this.#aliveAt > this.#heartbeat
      if (why !== 'seen' || overdue) this.#suspect()
    }
    this.check()
  }

  /** Does what is due by now. Runs each second, and when another tab asks: timers of hidden tabs are late. */
  check(): void {
    const now = this.platform.now()
    const late = now - this.#checkedAt > TICK_MS + LATE_MS
    this.#checkedAt = now
    const { state, nextAttemptAt } = this.#state
    if (state === 'waiting') {
      if (nextAttemptAt !== null && now >= nextAttemptAt) this.#open()
      return
    }
    if (state === 'idle' || state === 'refused') return
    const pending = !this.#attempt?.heard
    if (pending) {
      const took = now - this.#openedAt
      if (took > REPLACE_MS) this.#closeOld()
      if (took > (ANSWER_MS[this.#failures] ?? ANSWER_MS[3])) {
        this.#fail({ code: 'unanswered', text: 'the server did not answer: it is away, or six other connections to it are open' })
      }
      return
    }
    // What is queued is read first: a page that was held up has not heard it yet.
    if (late && this.#heartbeat > 0 && this.#suspectedAt === null) return this.#suspect()
    const quiet = now - this.#aliveAt
    if (this.#suspectedAt !== null) {
      if (this.#aliveAt >= this.#suspectedAt) this.#suspectedAt = null
      else if (now - this.#suspectedAt >= this.#grace()) this.#silent(quiet)
    } else if (this.#heartbeat > 0 && quiet > this.#heartbeat * SILENT_HEARTBEATS) {
      this.#silent(quiet)
    }
  }

  /** Nobody looks at a hidden page: there a heartbeat is waited for. */
  #grace(): number {
    return this.platform.hidden() ? Math.max(GRACE_MS, this.#heartbeat * 1.2) : GRACE_MS
  }

  #suspect(): void {
    if (this.#suspectedAt !== null) return
    this.#suspectedAt = this.platform.now()
    this.platform.after(GRACE_MS, () => this.check())
  }

  #silent(quiet: number): void {
    // Only this line is dead, so nobody else comes back at this moment.
    const soon = this.#failures === 0 ? this.platform.random() * WAKE_SPREAD_MS : null
    this.#fail({ code: 'silent', text: `no sign of life for ${Math.round(quiet / 1000)} s` }, soon)
  }

  #open(): void {
    const wish = this.#wish
    if (!wish) return
    const turn = ++this.#turn
    this.#cancelNext()
    const now = this.platform.now()
    if (this.#attempt?.heard && this.group.mode === 'latest') {
      this.#closeOld()
      this.#old = this.#attempt
    } else {
      // Of every trade: two streams at once would tell each twice; the cursor brings what is missed in between.
      this.#attempt?.source.close()
    }
    this.#attempt = null
    this.#openedAt = now
    this.#suspectedAt = null
    if (!this.#cancelTick) {
      this.#checkedAt = now
      this.#tick()
    }
    if (!this.#old) this.#say({ ...this.#state, state: 'connecting', nextAttemptAt: null, failures: this.#failures })
    const getTicket = this.ticket()
    if (!getTicket) return this.#connect(wish, null)
    // In a promise, so that a function that throws is one that failed.
    new Promise<string>(resolve => resolve(getTicket(wish.symbols))).then(
      ticket => turn === this.#turn && this.#connect(wish, ticket),
      (error: unknown) => turn === this.#turn && this.#fail({ code: 'ticket', text: `no ticket: ${textOf(error)}` }),
    )
  }

  #tick(): void {
    this.#cancelTick = this.platform.after(TICK_MS, () => {
      this.#tick()
      this.check()
    })
  }

  #connect(wish: Wish, ticket: string | null): void {
    const key = cursorKey(wish)
    const holds = this.group.mode === 'ticks' || this.cursor.key === key
    const source = this.platform.open(address(this.group, wish, holds ? this.cursor.id : '', ticket), this.group.withCredentials)
    if (!source) return this.#refuse({ code: 'unsupported', text: 'there is no EventSource here' })
    const attempt: Attempt = { source, key, heard: false }
    this.#attempt = attempt
    for (const name of EVENT_NAMES) source.addEventListener(name, event => this.#heard(attempt, name, event))
    source.onerror = () => {
      if (attempt === this.#old) this.#closeOld()
      else if (attempt !== this.#attempt) source.close()
      else if (source.readyState === CLOSED) void this.#ended(wish)
      else this.#fail({ code: 'lost', text: attempt.heard ? 'the connection was lost' : 'the server cannot be reached' })
    }
  }

  #heard(attempt: Attempt, name: keyof Events, event: MessageEvent<string>): void {
    if (attempt === this.#old) {
      if (name === 'message') this.listener.event(name, event.data, this.cursor.id)
      return
    }
    if (attempt !== this.#attempt) return
    this.#aliveAt = this.platform.now()
    attempt.heard = true
    this.#closeOld()
    if (event.lastEventId) this.cursor = { id: event.lastEventId, key: attempt.key }
    // A backoff goes back to its start when something came, not when a connection did.
    if (name === 'message' || name === 'hb') this.#failures = this.#tickets = 0
    if (name === 'hello') {
      this.#heartbeat = (JSON.parse(event.data) as Hello).heartbeat_ms
      this.#suspectedAt = null
      this.#say({ state: 'live', reason: null, nextAttemptAt: null, failures: 0 })
    }
    this.listener.event(name, event.data, this.cursor.id)
    if (name === 'bye') {
      const bye = JSON.parse(event.data) as Events['bye']
      this.#fail({ code: 'bye', text: `the server ended the stream: ${bye.reason}` }, bye.retry_ms)
    } else if (name === 'fault') {
      const fault = JSON.parse(event.data) as Events['fault']
      this.#fail({ code: 'fault', text: `the server has no room for this stream now: ${fault.code}` }, fault.retry_ms)
    } else if (name === 'notice') {
      const notice = JSON.parse(event.data) as Notice
      // With a fresh ticket before the old one's time is over: nobody notices.
      if (notice.code === 'credential_expiring' && this.ticket()) {
        const turn = this.#turn
        this.platform.after((this.platform.random() * notice.in_ms) / 2, () => turn === this.#turn && this.#open())
      }
    }
  }

  /** The browser has given up. An `EventSource` does not say why; another request for the same finds out. */
  async #ended(wish: Wish): Promise<void> {
    this.#close()
    const turn = this.#turn
    const text = 'the server refused the stream'
    // Should finding out take longer, `found` comes too late.
    this.#wait(ANSWER_MS[3], { code: 'refused', text })
    const found = await this.#ask(wish).catch(() => null)
    if (turn !== this.#turn) return
    if (!found) return this.#fail({ code: 'refused', text: `${text}, and does not say why` })
    const { status, problem, waitMs } = found
    const reason: Reason = {
      code: 'refused',
      text: problem ? `${text}: ${problem.detail ?? problem.title}` : `${text} (status ${status})`,
      status,
      ...(problem && { problem }),
    }
    // 204 means that it is over. Of errors, only the server's own are taken for its last word: what a proxy says during a
    // restart is not.
    const final = status === 204 || (FINAL.has(status) && problem?.type.startsWith(OURS))
    const again = status === 401 && this.ticket() !== null && ++this.#tickets < TICKETS_MAX
    if (!final || again) this.#fail(reason, waitMs)
    // It was about what is no longer wanted.
    else if (wish !== this.#wish) this.#open()
    else this.#refuse(reason)
  }

  async #ask(wish: Wish): Promise<{ status: number; problem: Problem | null; waitMs: number | null }> {
    const stop = new AbortController()
    const cancel = this.platform.after(ANSWER_MS[0], () => stop.abort())
    try {
      const ticket = (await this.ticket()?.(wish.symbols)) ?? null
      const answer = await this.platform.fetch(`${address(this.group, wish, '', ticket)}&errors=status`, {
        headers: { Accept: 'application/problem+json' },
        cache: 'no-store',
        credentials: this.group.withCredentials ? 'include' : 'same-origin',
        signal: stop.signal,
      })
      const seconds = Number(answer.headers.get('retry-after'))
      const isProblem = answer.headers.get('content-type')?.startsWith('application/problem+json')
      return {
        status: answer.status,
        problem: isProblem ? ((await answer.json()) as Problem) : null,
        waitMs: seconds > 0 ? seconds * 1000 * (1 + this.platform.random() / 2) : null,
      }
    } finally {
      cancel()
      // Where it is a stream after all, it ends here.
      stop.abort()
    }
  }

  #fail(reason: Reason, waitMs: number | null = null): void {
    this.#close()
    const wait = waitMs ?? backoff(this.#failures, this.platform.random())
    this.#failures++
    this.#wait(wait, reason)
  }

  #wait(ms: number, reason: Reason | null): void {
    this.#cancelNext()
    const turn = this.#turn
    this.#cancelNext = this.platform.after(ms, () => turn === this.#turn && this.#open())
    this.#say({ state: 'waiting', reason, nextAttemptAt: Math.round(this.platform.now() + ms), failures: this.#failures })
  }

  #refuse(reason: Reason): void {
    this.#close()
    this.#say({ state: 'refused', reason, nextAttemptAt: null, failures: ++this.#failures })
  }

  #close(): void {
    this.#turn++
    this.#cancelNext()
    this.#closeOld()
    this.#attempt?.source.close()
    this.#attempt = null
    this.#suspectedAt = null
  }

  #closeOld(): void {
    this.#old?.source.close()
    this.#old = null
  }

  #say(state: State): void {
    this.#state = state
    this.listener.status(state)
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
