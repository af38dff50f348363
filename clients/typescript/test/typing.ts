/** What the compiler has to allow and to refuse in a user's code; compiled by `npm run check`, never run. */

import { configure, RefusedError, subscribe, type Price, type Status } from 'tickcast-client'
import { usePrice, usePrices } from 'tickcast-client/react'

export const subscription = subscribe(['BTC'], {
  fields: ['price', 'venue', 'sources'],
  onPrice: price => {
    const made: { symbol: string; price: string | null; venue: string | null } = price
    const age: number | null | undefined = price.sources[0]?.age_ms
    // @ts-expect-error was not asked for
    price.bid
    // @ts-expect-error is not ours to change
    price.price = '1'
    return [made, age]
  },
  onStatus: (status: Status) => status.reason?.problem?.detail,
  onError: (error: RefusedError) => error.status,
})

export function hooks() {
  const { price, isCurrent } = usePrice('BTC')
  const byDefault: Price | undefined = price
  const { prices } = usePrices(['BTC'], { fields: ['price'] })
  const text: string | null | undefined = prices['BTC']?.price
  // @ts-expect-error a decimal is no number
  const number: number = prices['BTC']!.price
  return [byDefault?.bid, isCurrent, text, number]
}

// @ts-expect-error there is no such field
subscribe(['BTC'], { fields: ['prize'] })
// An option that may be undefined is one that may be left out.
configure({ url: undefined as string | undefined })
