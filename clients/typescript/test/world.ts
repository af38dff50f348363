/** A browser for tests: several tabs with one clock that the test moves, streams that the test answers, locks and channels. */

import { setImmediate } from 'node:timers/promises'

import type { Channel, Locks, Platform, Source, Wake } from '../src/platform.js'

/** A stream that a tab has opened; the test is its server. */
export class FakeSource implements Source {
  readyState = 0
  onerror: ((event: Event) => void) | null = null
  readonly #listeners = new Map<string, ((event: MessageEvent<string>) => void)[]>()
  #lastId = ''

  constructor(readonly url: URL, readonly tab: Tab, readonly withCredentials: boolean) {}

  get isOpen(): boolean {
    return this.readyState < 2
  }

  param(name: string): string | null {
    return this.url.searchParams.get(name)
  }

  addEventListener(name: string, listener: (event: MessageEvent<string>) => void): void {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener])
  }

  close(): void {
    this.readyState = 2
  }

  send(name: string, data: unknown, id = this.#lastId): void {
    this.#lastId = id
    if (!this.isOpen) return
    this.readyState = 1
    for (const then of this.#listeners.get(name) ?? []) then({ data: JSON.stringify(data), lastEventId: id } as MessageEvent<string>)
  }

  /** The first event, as the server writes it for what was asked. */
  hello(more: object = {}): this {
    const symbols = Object.fromEntries((this.param('symbols') ?? '').split(',').map(name => [name, name.toUpperCase()]))
    this.send('hello', { symbols, rejected: [], throttle_ms: 100, heartbeat_ms: 15_000, resumed: false, ...more }, '7f3a.0')
    return this
  }

  price(symbol: string, price: string, version: number): void {
    const all = { price, bid: null, ask: null, change: null, change_pct: null, status: 'live', time: 0 }
    this.send('message', { symbol, ...all }, `7f3a.${version}`)
  }

  /** The connection ends; `EventSource` would come back by itself. */
  cut(): void {
    if (!this.isOpen) return
    this.readyState = 0
    this.onerror?.({} as Event)
  }

  /** A status that is not 200. */
  refuse(): void {
    if (!this.isOpen) return
    this.readyState = 2
    this.onerror?.({} as Event)
  }
}

interface Request {
  tab: Tab | null
  held: () => Promise<void> | void
  resolve: () => void
  reject: (error: Error) => void
}

export class World {
  now = 1_000_000
  readonly sources: FakeSource[] = []
  readonly asked: string[] = []
  /** What a `fetch` is answered. */
  answer: () => Response | Promise<Response> = () => Promise.reject(new TypeError('unreachable'))
  hasLocks = true
  /** There are locks, and this page may not have any. */
  refusesLocks = false
  readonly locks = new Map<string, { holder: Request | null; queue: Request[] }>()
  readonly channels = new Set<{ name: string; tab: Tab; channel: Channel }>()
  #timers: { at: number; tab: Tab; then: () => void }[] = []

  tab(): Tab {
    return new Tab(this)
  }

  /** The stream that was opened last. */
  get source(): FakeSource {
    const last = this.sources.at(-1)
    if (!last) throw new Error('no stream was opened')
    return last
  }

  get open(): FakeSource[] {
    return this.sources.filter(source => source.isOpen)
  }

  timer(tab: Tab, ms: number, then: () => void): () => void {
    const timer = { at: this.now + ms, tab, then }
    this.#timers.push(timer)
    return () => void (this.#timers = this.#timers.filter(other => other !== timer))
  }

  /** Lets time pass, with all that is due on the way; frozen and ended tabs do nothing. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms
    await this.settle()
    for (;;) {
      const due = this.#timers.filter(timer => timer.at <= end && timer.tab.runs).sort((a, b) => a.at - b.at)[0]
      if (!due) break
      this.#timers = this.#timers.filter(timer => timer !== due)
      this.now = Math.max(this.now, due.at)
      due.then()
      await this.settle()
    }
    this.now = end
  }

  /** The clock goes on and nothing runs: the machine sleeps. */
  sleep(ms: number): void {
    this.now += ms
  }

  /** All that waits for nothing but its turn. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) await setImmediate()
  }

  request(tab: Tab, name: string, options: { signal?: AbortSignal; steal?: boolean }, held: Request['held']): Promise<unknown> {
    return new Promise<void>((resolve, reject) => {
      if (this.refusesLocks) return reject(Object.assign(new Error('denied'), { name: 'SecurityError' }))
      const lock = this.locks.get(name) ?? { holder: null, queue: [] }
      this.locks.set(name, lock)
      const aborted = () => Object.assign(new Error('aborted'), { name: 'AbortError' })
      const request: Request = { tab, held, resolve, reject }
      if (options.steal) {
        lock.holder?.reject(aborted())
        lock.holder = null
        lock.queue.unshift(request)
      } else {
        lock.queue.push(request)
      }
      options.signal?.addEventListener('abort', () => {
        if (!lock.queue.includes(request)) return
        lock.queue = lock.queue.filter(other => other !== request)
        reject(aborted())
      })
      this.grant(name)
    })
  }

  grant(name: string): void {
    const lock = this.locks.get(name)
    if (!lock || lock.holder) return
    const next = lock.queue.shift()
    if (!next) return
    lock.holder = next
    void setImmediate().then(async () => {
      await next.held()
      if (lock.holder !== next) return
      lock.holder = null
      next.resolve()
      this.grant(name)
    })
  }
}

export class Tab implements Platform {
  isHidden = false
  /** Does nothing at all: frozen, or busy. */
  isFrozen = false
  hasEnded = false
  readonly reported: unknown[] = []
  #frames: (() => void)[] = []
  #late: (() => void)[] = []
  #lifecycle: { wake: (why: Wake) => void; sleep: () => void } | null = null

  constructor(readonly world: World) {}

  get runs(): boolean {
    return !this.isFrozen && !this.hasEnded
  }

  now = () => this.world.now
  random = () => 0.5
  after = (ms: number, then: () => void) => this.world.timer(this, ms, then)
  hidden = () => this.isHidden
  base = () => 'http://page.test/'
  report = (error: unknown) => void this.reported.push(error)

  frame = (then: () => void) => {
    this.#frames.push(then)
    return true
  }

  /** The screen is painted. */
  paint(): void {
    if (this.isHidden) return
    const frames = this.#frames
    this.#frames = []
    for (const then of frames) then()
  }

  open = (url: string, withCredentials: boolean): Source | null => {
    const source = new FakeSource(new URL(url), this, withCredentials)
    this.world.sources.push(source)
    return source
  }

  fetch = async (url: string) => {
    this.world.asked.push(url)
    return this.world.answer()
  }

  locks = (): Locks | null =>
    this.world.hasLocks ? { request: (name, options, held) => this.world.request(this, name, options, held) } : null

  channel = (name: string): Channel => {
    const channel: Channel = {
      onmessage: null,
      postMessage: message => {
        const text = JSON.stringify(message)
        for (const other of this.world.channels) {
          if (other.name === name && other.channel !== channel) other.tab.deliver(() => other.channel.onmessage?.({ data: JSON.parse(text) } as MessageEvent))
        }
      },
      close: () => void this.world.channels.delete(entry),
    }
    const entry = { name, tab: this, channel }
    this.world.channels.add(entry)
    return channel
  }

  deliver(then: () => void): void {
    if (this.hasEnded) return
    if (this.isFrozen) this.#late.push(then)
    else void setImmediate().then(then)
  }

  lifecycle = (wake: (why: Wake) => void, sleep: () => void) => {
    this.#lifecycle = { wake, sleep }
    return () => void (this.#lifecycle = null)
  }

  wake(why: Wake): void {
    this.#lifecycle?.wake(why)
  }

  /** The browser says that it freezes the page, or puts it aside. */
  freeze(): void {
    this.#lifecycle?.sleep()
    this.isFrozen = true
  }

  /** Goes on; what came meanwhile is read first. */
  thaw(why?: Wake): void {
    this.isFrozen = false
    const late = this.#late
    this.#late = []
    for (const then of late) then()
    if (why) this.wake(why)
  }

  /** Is closed or crashes: the browser closes its streams and gives its locks back, without a word to its scripts. */
  crash(): void {
    this.hasEnded = true
    for (const source of this.world.sources) if (source.tab === this) source.close()
    for (const entry of this.world.channels) if (entry.tab === this) this.world.channels.delete(entry)
    for (const [name, lock] of this.world.locks) {
      lock.queue = lock.queue.filter(request => request.tab !== this)
      if (lock.holder?.tab === this) {
        lock.holder = null
        this.world.grant(name)
      }
    }
  }
}
