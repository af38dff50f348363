/** The way in: `subscribe`, its options, and what it returns. */

import { Delivery } from './delivery.js'
import { DEFAULT_FIELDS, type DefaultField, type Field, type Gap, type Notice, type Price, type Rejected } from './events.js'
import { hubOf, knownHub, type AnyPrice, type Hub, type Subscriber } from './hub.js'
import { browser } from './platform.js'
import { RefusedError, type Status } from './status.js'
import type { GetTicket } from './stream.js'
import type { Group, Wish } from './wish.js'

/** Which stream, and how it is opened. Those who want the same here share one. */
export interface StreamOptions {
  /** Where tickcast is, such as `https://prices.example.com`; without it, where the page is from. */
  url?: string | undefined
  /** `latest` (the default): the newest price; `ticks`: every trade, in order, with word of any that are missing. */
  mode?: 'latest' | 'ticks' | undefined
  /** Mode `latest`: told only once the price moved this much: `0.5` (currency), `0.05%`, `10bp`. */
  minChange?: string | undefined
  /** Milliseconds between the server's signs of life; without it as the server does, 15 s. */
  heartbeat?: number | undefined
  /** Returns something to open one stream with, from your own server or from tickcast's `POST /tickets`. Called for each attempt. */
  ticket?: GetTicket | undefined
  /**
   * Who the tickets are for, such as a user's id. Tabs share a stream that needs tickets only with those that say the same here;
   * without it each page has its own.
   */
  identity?: string | undefined
  /** Sends cookies to another origin. */
  withCredentials?: boolean | undefined
  /** `browser` (the default): all tabs share one stream; `page`: each has its own. */
  share?: 'browser' | 'page' | undefined
}

export interface SubscribeOptions<F extends Field = DefaultField> extends StreamOptions {
  /** Which fields a price has; `symbol` is always there. */
  fields?: readonly F[] | undefined
  /** Milliseconds between two updates of a symbol at least; 0 is as fast as they come. The server's default is 100. */
  throttle?: number | undefined
  /**
   * `frame` (the default of mode `latest`): with the next animation frame, and not while the page is hidden; `immediate` (that of
   * `ticks`): as it comes.
   */
  deliver?: 'frame' | 'immediate' | undefined
  /** Told what is new, all of a frame in one call. */
  onPrices?: ((prices: readonly Price<F>[]) => void) | undefined
  /** The same, one by one. */
  onPrice?: ((price: Price<F>) => void) | undefined
  /** Told of each change of the stream's state. */
  onStatus?: ((status: Status) => void) | undefined
  /** Told once when the server refuses for good. */
  onError?: ((error: RefusedError) => void) | undefined
  /** Symbols that were asked for and are not served. */
  onRejected?: ((rejected: readonly Rejected[]) => void) | undefined
  /** Mode `ticks`: trades are missing. */
  onGap?: ((gap: Gap) => void) | undefined
  /** What the server says about the stream: a budget that slows it down, a credential that is about to expire. */
  onNotice?: ((notice: Notice) => void) | undefined
}

export interface Subscription<F extends Field = DefaultField> {
  /** As asked for. */
  readonly symbols: readonly string[]
  readonly status: Status
  readonly rejected: readonly Rejected[]
  /** The newest price of a symbol, by any of its names; `undefined` until it has come. */
  get(symbol: string): Price<F> | undefined
  /** Follows these symbols instead. */
  set(symbols: readonly string[]): void
  /** Tries now, also after a refusal: a user has logged in again, say. */
  retry(): void
  close(): void
}

let defaults: StreamOptions = {}

/** What applies to all later subscriptions that do not say otherwise. */
export function configure(options: StreamOptions): void {
  defaults = { ...options }
}

/** Follows prices until `close()`. All subscriptions of a page, and of all tabs, share one stream. */
export function subscribe<const F extends Field = DefaultField>(
  symbols: readonly string[],
  options: SubscribeOptions<F> = {},
): Subscription<F> {
  return new Following(symbols, { ...defaults, ...defined(options) })
}

/** What the page knows already, without following anything. */
export function peek<F extends Field>(
  symbol: string,
  options: Pick<SubscribeOptions<F>, 'fields'> & StreamOptions,
): { price: Price<F> | undefined; status: Status | undefined } {
  const all = { ...defaults, ...defined(options) }
  // Rendered on a server: there is no page.
  if (!browser.base()) return { price: undefined, status: undefined }
  const hub = knownHub(groupOf(all))
  return { price: hub?.get(symbol, all.fields ?? DEFAULT_FIELDS) as Price<F> | undefined, status: hub?.status }
}

/** So that an option that is `undefined` is one that was not given. */
function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}

function addressOf(url: string | undefined): URL {
  try {
    return new URL(url ?? '', browser.base())
  } catch (cause) {
    const found = url === undefined ? 'there is no page here to take it from' : `\`${url}\` is none`
    throw new TypeError(`tickcast-client: \`url\` has to be an address such as https://prices.example.com: ${found}`, { cause })
  }
}

function groupOf(options: StreamOptions): Group {
  const url = addressOf(options.url)
  url.search = url.hash = ''
  // Of the page's own address only the folder; of one that was given, all.
  if (options.url === undefined) url.pathname = url.pathname.replace(/[^/]*$/, '')
  else if (!url.pathname.endsWith('/')) url.pathname += '/'
  const isPrivate = options.ticket !== undefined && options.identity === undefined
  return {
    url: url.href,
    mode: options.mode ?? 'latest',
    minChange: options.minChange ?? null,
    heartbeat: options.heartbeat ?? null,
    withCredentials: options.withCredentials ?? false,
    identity: options.identity ?? '',
    share: isPrivate ? 'page' : (options.share ?? 'browser'),
  }
}

function wishOf(symbols: readonly string[], options: SubscribeOptions<Field>): Wish {
  const names = symbols.map(symbol => symbol.trim()).filter(Boolean)
  const fields = options.fields && ['symbol', ...options.fields]
  return { symbols: [...new Set(names)], fields: fields ?? null, throttle: options.throttle ?? null }
}

class Following<F extends Field> implements Subscription<F>, Subscriber {
  wish: Wish
  readonly #hub: Hub
  readonly #fields: readonly Field[]
  readonly #delivery: Delivery<AnyPrice>
  /** What was told last of each symbol. */
  readonly #told = new Map<string, AnyPrice>()
  readonly #isEvery: boolean
  #isOver = false
  #rejected = ''

  constructor(symbols: readonly string[], private readonly options: SubscribeOptions<F>) {
    const group = groupOf(options)
    this.wish = wishOf(symbols, options)
    this.#isEvery = group.mode === 'ticks'
    this.#fields = options.fields ?? DEFAULT_FIELDS
    const when = options.deliver ?? (this.#isEvery ? 'immediate' : 'frame')
    const throttle = this.#isEvery ? 0 : (options.throttle ?? 0)
    this.#delivery = new Delivery<AnyPrice>(browser, { when, every: this.#isEvery, throttle }, (prices, lost) => this.#tell(prices, lost))
    this.#hub = hubOf(group)
    if (options.ticket) this.#hub.ticket = options.ticket
    this.#hub.add(this)
    // Who comes late is told how things are; not before the caller has what is returned.
    queueMicrotask(() => this.status.state !== 'idle' && this.tellStatus(this.status))
    if (!this.#isEvery) this.#pushNewest()
  }

  get symbols(): readonly string[] {
    return this.wish.symbols
  }

  get status(): Status {
    return this.#hub.status
  }

  get rejected(): readonly Rejected[] {
    return this.#hub.rejected.filter(({ symbol }) => this.wish.symbols.includes(symbol))
  }

  get(symbol: string): Price<F> | undefined {
    return this.#hub.get(symbol, this.#fields) as Price<F> | undefined
  }

  set(symbols: readonly string[]): void {
    if (this.#isOver) return
    this.wish = wishOf(symbols, this.options)
    this.#hub.changed()
    if (!this.#isEvery) this.#pushNewest()
  }

  retry(): void {
    this.#hub.retry()
  }

  close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#delivery.end()
    this.#hub.remove(this)
  }

  tellPrice(price: AnyPrice): void {
    // Of a stream that was opened before this was asked for, and has not all fields.
    if (this.#isWhole(price)) this.#delivery.push(price)
  }

  tellGap(gap: Gap): void {
    if (!gap.symbol || this.#hub.follows(this).includes(gap.symbol)) this.#call(this.options.onGap, gap)
  }

  tellNotice(notice: Notice): void {
    this.#call(this.options.onNotice, notice)
  }

  tellStatus(status: Status): void {
    this.#call(this.options.onStatus, status)
    if (status.state === 'refused' && status.reason) this.#call(this.options.onError, new RefusedError(status.reason))
  }

  tellNames(): void {
    const rejected = this.rejected
    const key = JSON.stringify(rejected)
    // Each reopening says it again.
    if (key !== (this.#rejected || '[]')) this.#call(this.options.onRejected, rejected)
    this.#rejected = key
  }

  #isWhole(price: AnyPrice): price is Price<F> {
    return this.#fields.every(field => field in price)
  }

  #pushNewest(): void {
    for (const symbol of this.#hub.follows(this)) {
      const price = this.#hub.newest.get(symbol)
      if (price) this.tellPrice(price)
    }
  }

  #tell(prices: readonly AnyPrice[], lost: number): void {
    if (lost) this.#call(this.options.onGap, { symbol: null, cause: 'page', missing: lost })
    const fresh = (this.#isEvery ? prices : prices.filter(price => this.#isNews(price))) as readonly Price<F>[]
    if (!fresh.length) return
    this.#call(this.options.onPrices, fresh)
    const { onPrice } = this.options
    if (onPrice) for (const price of fresh) this.#call(onPrice, price)
  }

  /** Whether a field that was asked for has changed: others of the page may have asked for more. */
  #isNews(price: AnyPrice): boolean {
    const told = this.#told.get(price.symbol) as Partial<Record<Field, unknown>> | undefined
    this.#told.set(price.symbol, price)
    return !told || this.#fields.some(field => told[field] !== (price as Partial<Record<Field, unknown>>)[field])
  }

  #call<T>(then: ((what: T) => void) | undefined, what: T): void {
    if (this.#isOver) return
    try {
      then?.(what)
    } catch (error) {
      browser.report(error)
    }
  }
}
