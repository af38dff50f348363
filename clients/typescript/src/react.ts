/** Prices in React components. Each component says what it shows; the page has one stream all the same. */

import { useMemo, useSyncExternalStore } from 'react'

import type { DefaultField, Field, Price, Rejected } from './events.js'
import { RefusedError, type Status } from './status.js'
import { IDLE } from './stream.js'
import { peek, subscribe, type StreamOptions } from './subscribe.js'

/** What a hook takes. Functions are taken from the first render that names this stream. */
export interface HookOptions<F extends Field = DefaultField> extends StreamOptions {
  fields?: readonly F[] | undefined
  throttle?: number | undefined
}

/** What both hooks say about the stream. */
export interface Connection {
  readonly status: Status
  /** The final refusal, if that is what happened. */
  readonly error: RefusedError | null
}

export interface PriceState<F extends Field = DefaultField> extends Connection {
  /** The newest price; `undefined` until it has come. */
  readonly price: Price<F> | undefined
  /** Whether that is a current price: the stream is live, and the server does not call it `stale`. Show it when it is not. */
  readonly isCurrent: boolean
  /** Why this symbol is not served. */
  readonly rejected: Rejected | undefined
}

export interface PricesState<F extends Field = DefaultField> extends Connection {
  /** The newest prices, by the symbols as asked for. */
  readonly prices: Readonly<Record<string, Price<F> | undefined>>
  /** Whether the stream is live. Each price's own `status` says the rest. */
  readonly isLive: boolean
  readonly rejected: readonly Rejected[]
}

interface Snapshot<F extends Field> extends Connection {
  readonly prices: Readonly<Record<string, Price<F> | undefined>>
  readonly rejected: readonly Rejected[]
}

/** A subscription as React wants to see it: a value that is another one only when something has changed. */
function storeOf<F extends Field>(symbols: readonly string[], options: HookOptions<F>) {
  const nothing: Snapshot<F> = { prices: {}, status: { ...IDLE, stream: 'own' }, error: null, rejected: [] }
  // What others show already is there at once.
  const known = symbols.map(symbol => [symbol, peek(symbol, options)] as const)
  let now: Snapshot<F> = {
    ...nothing,
    prices: Object.fromEntries(known.map(([symbol, { price }]) => [symbol, price])),
    status: known[0]?.[1].status ?? nothing.status,
  }
  const open = (changed: () => void) => {
    const say = (change: Partial<Snapshot<F>>) => {
      now = { ...now, ...change }
      changed()
    }
    const read = () => Object.fromEntries(symbols.map(symbol => [symbol, subscription.get(symbol)]))
    const subscription = subscribe<F>(symbols, {
      ...options,
      // The newest there is, which may be newer than what is told.
      onPrices: () => say({ prices: read() }),
      onStatus: status => say({ status, ...(status.state !== 'refused' && { error: null }) }),
      onError: error => say({ error }),
      onRejected: rejected => say({ rejected }),
    })
    // React looks again after this.
    now = { ...now, prices: read(), status: subscription.status, rejected: subscription.rejected }
    return () => subscription.close()
  }
  return { open, now: () => now, onServer: () => nothing }
}

function useStore<F extends Field>(symbols: readonly string[], options: HookOptions<F>): Snapshot<F> {
  // Lists and options are new objects with each render; what they say is not.
  const key = JSON.stringify([symbols, options])
  const store = useMemo(() => storeOf(symbols, options), [key])
  return useSyncExternalStore(store.open, store.now, store.onServer)
}

/** The price of one symbol, with each animation frame in which it changed. */
export function usePrice<const F extends Field = DefaultField>(symbol: string, options: HookOptions<F> = {}): PriceState<F> {
  const { prices, status, error, rejected } = useStore([symbol], options)
  const price = prices[symbol]
  const isStale = price !== undefined && 'status' in price && price.status === 'stale'
  return { price, isCurrent: status.state === 'live' && price !== undefined && !isStale, status, error, rejected: rejected[0] }
}

/** The prices of several symbols in one value: the component renders once a frame, whatever number of them changed. */
export function usePrices<const F extends Field = DefaultField>(symbols: readonly string[], options: HookOptions<F> = {}): PricesState<F> {
  const { prices, status, error, rejected } = useStore(symbols, options)
  return { prices, isLive: status.state === 'live', status, error, rejected }
}
