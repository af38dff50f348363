/** What the server says on a stream, typed. The shapes are generated from its OpenAPI document; the names are ours. */

import type { components } from './generated/openapi.js'

type Schemas = components['schemas']
/** The data of each event, by its name: `message` is a price, the others are named on the wire. */
export type Events = Schemas['EventData']

/** A price with all the fields that there are. Decimals are text: all their digits are right, and no `number` holds them. */
export type FullPrice = Required<Events['message']>
/** The name of a field. */
export type Field = keyof FullPrice
/** What a message has where no `fields` are asked for. */
export type DefaultField = 'symbol' | 'price' | 'bid' | 'ask' | 'change' | 'change_pct' | 'status' | 'time'
export const DEFAULT_FIELDS: readonly DefaultField[] = ['symbol', 'price', 'bid', 'ask', 'change', 'change_pct', 'status', 'time']
/** A price with the fields asked for; `symbol` is always there. */
export type Price<F extends Field = DefaultField> = Readonly<Pick<FullPrice, F | 'symbol'>>

export type Hello = Events['hello']
/** A symbol that was asked for and is not served, and why not. */
export type Rejected = Hello['rejected'][number]
/** Trades that are missing, in mode `ticks`: the service does not have them, or this page took too long (`page`). */
export type Gap = Events['gap'] | { readonly symbol: null; readonly cause: 'page'; readonly missing: number }
export type Notice = Events['notice']
/** What the service says about a request that it refuses (RFC 9457). */
export type Problem = Schemas['Problem']

/** What is listened to. */
export const EVENT_NAMES = ['hello', 'message', 'hb', 'gap', 'notice', 'fault', 'bye'] as const satisfies readonly (keyof Events)[]

/**
 * What `hello` would say after the catalogue has changed. What is gone keeps its name, since its price goes on being shown, as
 * stale; who asked for it is told that it is not there any more.
 */
export function afterChange(hello: Hello, { added, removed }: Extract<Notice, { code: 'symbols' }>): Hello {
  const symbols = { ...hello.symbols, ...added }
  const gone = Object.keys(symbols).filter(name => removed.includes(symbols[name] ?? name))
  return {
    ...hello,
    symbols,
    rejected: [
      ...hello.rejected.filter(({ symbol }) => !(symbol in added)),
      ...gone.map(symbol => ({ symbol, code: 'unknown_symbol' as const, suggestions: [] })),
    ],
  }
}
