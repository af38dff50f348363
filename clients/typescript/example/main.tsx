/** A watch list and a chart over a tickcast service: what a page of your own may look like. */

import { StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { configure } from 'tickcast-client'

import { Chart } from './Chart'
import { symbolsOf, type Instrument } from './service'
import { Connection, WatchList } from './WatchList'
import './style.css'

// Where tickcast is: `?server=` in this page's address, `VITE_TICKCAST` when it is built, or a local one.
const server = new URLSearchParams(location.search).get('server') ?? import.meta.env.VITE_TICKCAST ?? 'http://127.0.0.1:8080'
configure({ url: server })

const FIRST = ['BTC', 'ETH', 'SOL', 'AAPL', 'NVDA', 'TSLA']

function App() {
  const [symbols, setSymbols] = useState(FIRST)
  const [chosen, setChosen] = useState('BTC')
  const [catalogue, setCatalogue] = useState<ReadonlyMap<string, Instrument>>(new Map())
  useEffect(() => {
    symbolsOf(server).then(setCatalogue, error => console.warn('no catalogue', error))
  }, [])

  const add = (symbol: string) => {
    if (!symbols.includes(symbol)) setSymbols([...symbols, symbol])
    setChosen(symbol)
  }
  const remove = (symbol: string) => setSymbols(symbols.filter(other => other !== symbol))

  return (
    <>
      <header>
        <h1>Prices</h1>
        <Connection symbols={symbols} />
      </header>
      <main>
        <WatchList {...{ symbols, chosen, catalogue, add, remove, choose: setChosen }} />
        <Chart key={chosen} server={server} symbol={chosen} instrument={catalogue.get(chosen)} />
      </main>
    </>
  )
}

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
