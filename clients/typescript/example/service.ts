/** What the example asks the service once: the catalogue, and bars for the chart. */

export interface Instrument {
  symbol: string
  name: string
  currency: string
  decimals: number
}

/** Decimals are text, as on the stream; `time` is when the bar begins, in ms since 1970. */
export interface Bar {
  time: number
  open: string
  high: string
  low: string
  close: string
}

/** The catalogue by symbol. */
export async function symbolsOf(server: string): Promise<ReadonlyMap<string, Instrument>> {
  const answer = await fetch(new URL('symbols?limit=1000', withSlash(server)))
  if (!answer.ok) throw new Error(`status ${answer.status}`)
  const { symbols } = (await answer.json()) as { symbols: Instrument[] }
  return new Map(symbols.map(instrument => [instrument.symbol, instrument]))
}

/** The newest bars of a symbol, oldest first; none where the service keeps none of this interval. */
export async function barsOf(server: string, symbol: string, interval: string, signal: AbortSignal): Promise<Bar[]> {
  const query = new URLSearchParams({ symbol, interval, limit: '500' })
  const answer = await fetch(new URL(`candles?${query}`, withSlash(server)), { signal })
  if (answer.status === 400 || answer.status === 404) return []
  if (!answer.ok) throw new Error(`status ${answer.status}`)
  const { candles } = (await answer.json()) as { candles: Bar[] }
  return candles
}

const withSlash = (server: string) => (server.endsWith('/') ? server : `${server}/`)
