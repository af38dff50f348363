/** What is to be followed: put together from many, and as the address of a stream. Calculations. */

import { DEFAULT_FIELDS } from './events.js'

/** What throttle a stream has that asks for none, by the server's default. */
const THROTTLE_DEFAULT_MS = 100

/** What one follower wants of a stream. */
export interface Wish {
  readonly symbols: readonly string[]
  /** `null`: the server's default. */
  readonly fields: readonly string[] | null
  /** Milliseconds; `null`: the server's default. */
  readonly throttle: number | null
}

/** What makes two followers share a stream, and how it is opened. */
export interface Group {
  /** Absolute, ends in `/`. */
  readonly url: string
  readonly mode: 'latest' | 'ticks'
  readonly minChange: string | null
  /** Milliseconds; `null`: the server's default. */
  readonly heartbeat: number | null
  readonly withCredentials: boolean
  /** Who the credential is for. */
  readonly identity: string
  readonly share: 'browser' | 'page'
}

/** Equal for those who may share a stream. */
export const groupKey = (group: Group): string =>
  JSON.stringify([group.url, group.mode, group.minChange, group.heartbeat, group.withCredentials, group.identity])

const sorted = (names: Iterable<string>): string[] => [...new Set(names)].sort()

/** One wish that grants all: every symbol, every field, the shortest throttle. */
export function merge(wishes: readonly Wish[]): Wish {
  const throttles = wishes.map(wish => wish.throttle ?? THROTTLE_DEFAULT_MS)
  return {
    symbols: sorted(wishes.flatMap(wish => wish.symbols)),
    fields: wishes.every(wish => wish.fields === null) ? null : sorted(wishes.flatMap(wish => wish.fields ?? DEFAULT_FIELDS)),
    throttle: wishes.every(wish => wish.throttle === null) ? null : Math.min(...throttles),
  }
}

/** Whether a stream opened for the first wish brings all that the second one wants. */
export function covers(open: Wish, wanted: Wish): boolean {
  const fields = open.fields ?? DEFAULT_FIELDS
  return (
    wanted.symbols.every(symbol => open.symbols.includes(symbol)) &&
    (wanted.fields ?? DEFAULT_FIELDS).every(field => (fields as readonly string[]).includes(field)) &&
    (open.throttle ?? THROTTLE_DEFAULT_MS) <= (wanted.throttle ?? THROTTLE_DEFAULT_MS)
  )
}

/** Equal for wishes that the same stream grants. */
export const wishKey = (wish: Wish): string => JSON.stringify([wish.symbols, wish.fields, wish.throttle])

/** Equal for wishes between which a cursor holds: of what changed since, the server sends the fields asked for. */
export const cursorKey = (wish: Wish): string => JSON.stringify([wish.symbols, wish.fields])

/** The address of a stream. */
export function address(group: Group, wish: Wish, cursor: string, ticket: string | null): string {
  const list = (names: readonly string[]) => names.map(encodeURIComponent).join(',')
  const query = [`symbols=${list(wish.symbols)}`]
  if (wish.fields) query.push(`fields=${list(wish.fields)}`)
  if (group.mode === 'ticks') query.push('mode=ticks')
  else if (wish.throttle !== null) query.push(`throttle=${wish.throttle}`)
  if (group.minChange !== null) query.push(`min_change=${encodeURIComponent(group.minChange)}`)
  // With its unit: a bare number is seconds here.
  if (group.heartbeat !== null) query.push(`heartbeat=${group.heartbeat}ms`)
  if (cursor) query.push(`last_event_id=${encodeURIComponent(cursor)}`)
  if (ticket !== null) query.push(`ticket=${encodeURIComponent(ticket)}`)
  return `${group.url}prices?${query.join('&')}`
}
