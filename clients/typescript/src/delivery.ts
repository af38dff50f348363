/**
 * When a subscriber is told: with the next frame, or at once; the newest of each symbol, or every trade. Nothing here grows while
 * a page is hidden and no frames come.
 */

import type { Platform } from './platform.js'

/** Trades that wait for a frame. */
const TRADES_MAX = 10_000

/** What is delivered: something of a symbol. */
interface Item {
  readonly symbol: string
}

export interface DeliveryOptions {
  readonly when: 'frame' | 'immediate'
  /** Every item in order, instead of the newest of each symbol. */
  readonly every: boolean
  /** Milliseconds between two deliveries at least. */
  readonly throttle: number
}

export class Delivery<T extends Item> {
  #pending: T[] = []
  /** Where the newest of a symbol stands in `pending`. */
  readonly #places = new Map<string, number>()
  #isScheduled = false
  #isOver = false
  #toldAt = -Infinity
  /** Trades that were thrown away since this was asked last. */
  #lost = 0

  constructor(
    private readonly platform: Platform,
    private readonly options: DeliveryOptions,
    private readonly tell: (items: readonly T[], lost: number) => void,
  ) {}

  push(item: T): void {
    const place = this.options.every ? undefined : this.#places.get(item.symbol)
    if (place === undefined) {
      this.#places.set(item.symbol, this.#pending.push(item) - 1)
      if (this.options.every && this.#pending.length > TRADES_MAX) {
        this.#pending.shift()
        this.#lost++
      }
    } else {
      this.#pending[place] = item
    }
    this.#schedule()
  }

  end(): void {
    this.#isOver = true
    this.#pending = []
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isOver) return
    const wait = this.#toldAt + this.options.throttle - this.platform.now()
    const flush = () => {
      this.#isScheduled = false
      this.#flush()
    }
    this.#isScheduled = true
    if (wait > 0) {
      this.platform.after(wait, () => {
        this.#isScheduled = false
        this.#toldAt = -Infinity
        this.#schedule()
      })
    } else if (this.options.when === 'immediate' || !this.platform.frame(flush)) {
      flush()
    }
  }

  #flush(): void {
    if (this.#isOver || this.#pending.length === 0) return
    const items = this.#pending
    const lost = this.#lost
    this.#pending = []
    this.#places.clear()
    this.#lost = 0
    this.#toldAt = this.platform.now()
    try {
      this.tell(items, lost)
    } catch (error) {
      this.platform.report(error)
    }
  }
}
