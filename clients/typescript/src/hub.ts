/** What a page knows of one stream, and who in the page is told: the newest prices, the names, the subscribers. */

import type { Events, Gap, Hello, Notice, Price, Rejected } from './events.js'
import { browser, type Platform } from './platform.js'
import { IDLE, type GetTicket } from './stream.js'
import type { Status } from './status.js'
import { Tabs } from './tabs.js'
import { groupKey, merge, type Group, type Wish } from './wish.js'

/** Components that appear together subscribe one after the other: their lists become one. */
const GATHER_MS = 20
/** A component that goes often comes back at once (React in strict mode, a change of route). */
const LINGER_MS = 1000

/** Any fields. */
export type AnyPrice = Price<'symbol'>

export interface Subscriber {
  wish: Wish
  tellPrice(price: AnyPrice): void
  tellGap(gap: Gap): void
  tellNotice(notice: Notice): void
  tellStatus(status: Status): void
  /** The names are known: which symbols are whose, and what was rejected. */
  tellNames(): void
}

export class Hub {
  status: Status = { ...IDLE, stream: 'own' }
  /** The newest of each symbol; in mode `ticks` as well, but there each is also told. */
  readonly newest = new Map<string, AnyPrice>()
  rejected: readonly Rejected[] = []
  /** The newest of who subscribes: functions of an older render may have closed over what is gone. */
  ticket: GetTicket | null = null
  #names: Readonly<Record<string, string>> = {}
  readonly #subscribers = new Set<Subscriber>()
  /** Who follows a symbol; made when it is needed. */
  #routes: Map<string, Subscriber[]> | null = null
  #cancelApply: (() => void) | null = null
  readonly #tabs: Tabs

  constructor(
    private readonly platform: Platform,
    group: Group,
    private readonly isUnused: () => void,
  ) {
    this.#tabs = new Tabs(
      platform,
      group,
      { event: (name, data) => this.#event(name, data), status: status => this.#say(status) },
      () => this.ticket,
    )
  }

  add(subscriber: Subscriber): void {
    this.#subscribers.add(subscriber)
    this.changed()
  }

  remove(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber)
    this.changed()
  }

  /** Somebody's wish is another. */
  changed(): void {
    this.#routes = null
    this.#cancelApply?.()
    this.#cancelApply = this.platform.after(this.#subscribers.size ? GATHER_MS : LINGER_MS, () => this.#apply())
  }

  retry(): void {
    this.#tabs.retry()
  }

  /** The catalogue's name of a symbol; as asked, until the server has said it. */
  symbol(asked: string): string {
    return this.#names[asked] ?? asked
  }

  /** What a subscriber follows, as far as it is known. */
  follows(subscriber: Subscriber): string[] {
    return subscriber.wish.symbols.flatMap(asked => (asked === '*' ? Object.values(this.#names) : this.symbol(asked)))
  }

  /** The newest of a symbol, if it has all these fields: it may be from before somebody asked for them. */
  get(asked: string, fields: readonly string[]): AnyPrice | undefined {
    const price = this.newest.get(this.symbol(asked))
    return price && fields.every(field => field in price) ? price : undefined
  }

  #apply(): void {
    this.#cancelApply = null
    const wish = merge([...this.#subscribers].map(subscriber => subscriber.wish))
    this.#tabs.want(wish)
    if (this.#subscribers.size === 0) this.isUnused()
  }

  #event<N extends keyof Events>(name: N, data: Events[N]): void {
    if (name === 'message') {
      const price = data as AnyPrice
      this.newest.set(price.symbol, price)
      for (const subscriber of this.#routed().get(price.symbol) ?? []) subscriber.tellPrice(price)
    } else if (name === 'hello') {
      const hello = data as Hello
      this.#names = hello.symbols
      this.rejected = hello.rejected
      this.#routes = null
      const served = new Set(Object.values(hello.symbols))
      for (const symbol of this.newest.keys()) if (!served.has(symbol)) this.newest.delete(symbol)
      for (const subscriber of this.#subscribers) subscriber.tellNames()
    } else if (name === 'gap') {
      for (const subscriber of this.#subscribers) subscriber.tellGap(data as Gap)
    } else if (name === 'notice') {
      for (const subscriber of this.#subscribers) subscriber.tellNotice(data as Notice)
    }
  }

  #routed(): Map<string, Subscriber[]> {
    if (this.#routes) return this.#routes
    const routes = (this.#routes = new Map<string, Subscriber[]>())
    for (const subscriber of this.#subscribers) {
      for (const symbol of new Set(this.follows(subscriber))) {
        const there = routes.get(symbol)
        if (there) there.push(subscriber)
        else routes.set(symbol, [subscriber])
      }
    }
    return routes
  }

  #say(status: Status): void {
    this.status = Object.freeze(status)
    for (const subscriber of this.#subscribers) subscriber.tellStatus(this.status)
  }
}

const hubs = new Map<string, Hub>()

const hubKey = (group: Group) => `${groupKey(group)} ${group.share}`

/** The page's hub of a group. */
export function hubOf(group: Group, platform: Platform = browser): Hub {
  const key = hubKey(group)
  let hub = hubs.get(key)
  if (!hub) {
    hub = new Hub(platform, group, () => hubs.delete(key))
    hubs.set(key, hub)
  }
  return hub
}

/** The same if there is one. */
export const knownHub = (group: Group): Hub | undefined => hubs.get(hubKey(group))
