/** Bars of one symbol: what the service has, and live from the stream. */

import { CandlestickSeries, createChart, type IChartApi, type ISeriesApi, type UTCTimestamp } from 'lightweight-charts'
import { useEffect, useRef, useState } from 'react'
import { formatDecimal, subscribe, type Price } from 'tickcast-client'
import { usePrice } from 'tickcast-client/react'

import { barsOf, type Bar, type Instrument } from './service'

const INTERVALS = { '1s': 1000, '1m': 60_000, '5m': 300_000 } as const
type Interval = keyof typeof INTERVALS

interface Props {
  server: string
  symbol: string
  instrument: Instrument | undefined
}

export function Chart({ server, symbol, instrument }: Props) {
  const home = useRef<HTMLDivElement>(null)
  const [interval, setInterval] = useState<Interval>('1s')
  const { price, isCurrent } = usePrice(symbol)
  const decimals = instrument?.decimals ?? 2

  useEffect(() => {
    const { chart, series } = make(home.current!, decimals)
    const stop = new AbortController()
    const live = new LiveBar(INTERVALS[interval])
    const subscription = subscribe([symbol], {
      onPrice: price => {
        const bar = live.take(price)
        if (bar) series.update(bar)
        home.current!.dataset.bars = String(series.data().length)
      },
    })
    // What came before; live bars that are there by then stay.
    barsOf(server, symbol, interval, stop.signal).then(
      bars => {
        const first = series.data()[0]
        series.setData([...bars.map(drawn).filter(bar => !first || bar.time < Number(first.time)), ...series.data()] as Drawn[])
        const last = bars.at(-1)
        const joined = last && live.join(drawn(last))
        if (joined) series.update(joined)
      },
      error => stop.signal.aborted || console.warn('no bars', error),
    )
    return () => {
      stop.abort()
      subscription.close()
      chart.remove()
    }
  }, [server, symbol, interval, decimals])

  return (
    <section className="chart" aria-label={`Chart of ${symbol}`}>
      <h2>
        {symbol} <small>{instrument?.name}</small>
        <output data-current={isCurrent}>{price?.price ? formatDecimal(price.price, decimals, ',') : '–'}</output>
      </h2>
      <div className="intervals" role="group" aria-label="Interval">
        {(Object.keys(INTERVALS) as Interval[]).map(name => (
          <button key={name} aria-pressed={name === interval} onClick={() => setInterval(name)}>
            {name}
          </button>
        ))}
      </div>
      <div className="canvas" ref={home} />
    </section>
  )
}

/** A chart draws with numbers; what is read stands beside it as text. */
interface Drawn {
  time: UTCTimestamp
  open: number
  high: number
  low: number
  close: number
}

const drawn = ({ time, open, high, low, close }: Bar): Drawn => ({
  time: (time / 1000) as UTCTimestamp,
  open: Number(open),
  high: Number(high),
  low: Number(low),
  close: Number(close),
})

/** The bar that is not over yet. */
class LiveBar {
  #bar: Drawn | null = null

  constructor(private readonly ms: number) {}

  take({ price, time }: Price): Drawn | null {
    if (!price || time === null) return null
    const value = Number(price)
    const begin = ((Math.floor(time / this.ms) * this.ms) / 1000) as UTCTimestamp
    if (this.#bar && this.#bar.time > begin) return null
    if (this.#bar?.time !== begin) this.#bar = { time: begin, open: value, high: value, low: value, close: value }
    const { high, low } = this.#bar
    return (this.#bar = { ...this.#bar, high: Math.max(high, value), low: Math.min(low, value), close: value })
  }

  /** Puts what the service has of a bar before what was seen here, where both are about the same one. */
  join(bar: Drawn): Drawn | null {
    if (this.#bar && this.#bar.time !== bar.time) return null
    const { high, low, close } = this.#bar ?? bar
    return (this.#bar = { ...bar, high: Math.max(high, bar.high), low: Math.min(low, bar.low), close })
  }
}

function make(home: HTMLElement, decimals: number): { chart: IChartApi; series: ISeriesApi<'Candlestick'> } {
  const style = getComputedStyle(home)
  const colour = (name: string) => style.getPropertyValue(name).trim()
  const chart = createChart(home, {
    autoSize: true,
    layout: { background: { color: 'transparent' }, textColor: colour('--text') },
    grid: { vertLines: { color: colour('--line') }, horzLines: { color: colour('--line') } },
    rightPriceScale: { borderColor: colour('--line') },
    timeScale: { timeVisible: true, secondsVisible: true, borderColor: colour('--line') },
  })
  const series = chart.addSeries(CandlestickSeries, {
    priceFormat: { type: 'price', precision: decimals, minMove: 1 / 10 ** decimals },
    upColor: colour('--up'),
    downColor: colour('--down'),
    wickUpColor: colour('--up'),
    wickDownColor: colour('--down'),
    borderVisible: false,
  })
  return { chart, series }
}
