/** The list: each row follows its own symbol, and all of them share one stream. */

import { useEffect, useRef, useState, type FormEvent } from 'react'
import { compareDecimals, formatDecimal } from 'tickcast-client'
import { usePrice, usePrices } from 'tickcast-client/react'

import type { Instrument } from './service'

interface Props {
  symbols: string[]
  chosen: string
  catalogue: ReadonlyMap<string, Instrument>
  choose(symbol: string): void
  add(symbol: string): void
  remove(symbol: string): void
}

export function WatchList({ symbols, chosen, catalogue, choose, add, remove }: Props) {
  const [asked, setAsked] = useState('')
  const submit = (event: FormEvent) => {
    event.preventDefault()
    const symbol = asked.trim().toUpperCase()
    if (symbol) add(symbol)
    setAsked('')
  }
  return (
    <section className="list" aria-label="Watch list">
      <table>
        <thead>
          <tr>
            <th>Symbol</th>
            <th className="number">Price</th>
            <th className="number">24 h</th>
            <th />
          </tr>
        </thead>
        <tbody>
          {symbols.map(symbol => (
            <Row key={symbol} {...{ symbol, instrument: catalogue.get(symbol), isChosen: symbol === chosen, choose, remove }} />
          ))}
        </tbody>
      </table>
      <form onSubmit={submit}>
        <input
          aria-label="Add a symbol"
          list="catalogue"
          placeholder="Add a symbol"
          value={asked}
          onChange={event => setAsked(event.target.value)}
        />
        <datalist id="catalogue">
          {[...catalogue.values()].map(({ symbol, name }) => (
            <option key={symbol} value={symbol}>
              {name}
            </option>
          ))}
        </datalist>
        <button>Add</button>
      </form>
    </section>
  )
}

interface RowProps {
  symbol: string
  instrument: Instrument | undefined
  isChosen: boolean
  choose(symbol: string): void
  remove(symbol: string): void
}

function Row({ symbol, instrument, isChosen, choose, remove }: RowProps) {
  const { price, isCurrent, rejected } = usePrice(symbol)
  const move = useMove(price?.price)
  const change = price?.change_pct
  const direction = change ? Math.sign(compareDecimals(change, '0')) : 0
  const shown = price?.price ? formatDecimal(price.price, instrument?.decimals ?? 2, ',') : '–'
  return (
    <tr data-symbol={symbol} data-current={isCurrent} className={isChosen ? 'chosen' : ''}>
      <td>
        <button className="pick" aria-pressed={isChosen} onClick={() => choose(symbol)}>
          {symbol}
        </button>
        <small>{rejected ? rejected.code.replaceAll('_', ' ') : instrument?.name}</small>
      </td>
      <td className="number">
        {/* A new element for each price, so that it flashes each time. */}
        <span key={price?.time} className="price" data-move={isCurrent ? move : undefined}>
          {shown}
        </span>
        {price && !isCurrent && <small>not current</small>}
        {price && isCurrent && price.status !== 'live' && <small>{price.status}</small>}
      </td>
      <td className="number" data-direction={isCurrent ? direction : 0}>
        {change ? `${direction > 0 ? '+' : ''}${change} %` : '–'}
      </td>
      <td>
        <button className="remove" aria-label={`Remove ${symbol}`} onClick={() => remove(symbol)}>
          ×
        </button>
      </td>
    </tr>
  )
}

/** Whether a price has gone up or down, compared as a decimal. */
function useMove(price: string | null | undefined): 'up' | 'down' | undefined {
  const before = useRef(price)
  useEffect(() => {
    before.current = price
  })
  if (!price || !before.current) return undefined
  const difference = compareDecimals(price, before.current)
  return difference > 0 ? 'up' : difference < 0 ? 'down' : undefined
}

/** How the stream is, and how many prices have come. */
export function Connection({ symbols }: { symbols: string[] }) {
  const { prices, status } = usePrices(symbols, { fields: ['price'] })
  const priced = symbols.filter(symbol => prices[symbol]?.price).length
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    if (status.nextAttemptAt === null) return
    const timer = setInterval(() => setNow(Date.now()), 250)
    return () => clearInterval(timer)
  }, [status.nextAttemptAt])
  const seconds = status.nextAttemptAt === null ? null : Math.max(0, Math.ceil((status.nextAttemptAt - now) / 1000))
  return (
    <p className="connection" data-state={status.state} data-stream={status.stream} role="status">
      <b>{status.state}</b>
      {status.state === 'live' && status.stream === 'follower' && ' over another tab'}
      {status.reason && `: ${status.reason.text}`}
      {seconds !== null && `, next attempt in ${seconds} s`}
      <small>
        {' '}
        · {priced} of {symbols.length} symbols
      </small>
    </p>
  )
}
