/** What the server says on a stream, typed. The shapes are generated from its OpenAPI document; the names are ours. */

import type { components } from './generated/openapi.js'

type Schemas = components['schemas']

/** A price with all the fields that there are. Decimals are text: all their digits are right, and no `number` holds them. */
export type FullPrice = Required<Schemas['Price']>
/** The name of a field. */
export type Field = keyof FullPrice
/** What a message has where no `fields` are asked for. */
export type DefaultField = 'symbol' | 'price' | 'bid' | 'ask' | 'change' | 'change_pct' | 'status' | 'time'
export const DEFAULT_FIELDS: readonly DefaultField[] = ['symbol', 'price', 'bid', 'ask', 'change', 'change_pct', 'status', 'time']
/** A price with the fields asked for; `symbol` is always there. */
export type Price<F extends Field = DefaultField> = Readonly<Pick<FullPrice, F | 'symbol'>>

export type Hello = Schemas['Hello']
/** A symbol that was asked for and is not served, and why not. */
export type Rejected = Hello['rejected'][number]
/** Trades that are missing, in mode `ticks`. */
export type Gap = Schemas['Gap']
export type Notice = Schemas['Notice']
export type Fault = Schemas['Fault']
export type Bye = Schemas['Bye']
/** What the server says about a request that it refuses (RFC 9457). */
export type Problem = Schemas['Problem']

/** The named events of a stream, and plain `message`. */
export interface Events {
  hello: Hello
  message: Price<'symbol'>
  hb: Schemas['Hb']
  gap: Gap
  notice: Notice
  fault: Fault
  bye: Bye
}
export const EVENT_NAMES = ['hello', 'message', 'hb', 'gap', 'notice', 'fault', 'bye'] as const satisfies readonly (keyof Events)[]
