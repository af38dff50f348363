/** Outside a page: on a server that renders components, and in a script. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createElement } from 'react'
import { renderToString } from 'react-dom/server'

import { subscribe } from '../src/index.js'
import { usePrice, usePrices } from '../src/react.js'

test('a server renders components without a price, and follows nothing', () => {
  function Shown() {
    const { price, isCurrent, status } = usePrice('BTC')
    const { prices, isLive } = usePrices(['BTC', 'AAPL'], { fields: ['price', 'venue'] })
    return createElement('p', null, `${price?.price} ${isCurrent} ${status.state} ${prices['AAPL']?.venue} ${isLive}`)
  }
  assert.equal(renderToString(createElement(Shown)), '<p>undefined false idle undefined false</p>')
})

test('an address that is none is said to be none', () => {
  assert.throws(() => subscribe(['BTC']), /`url` has to be an address .* there is no page/)
  assert.throws(() => subscribe(['BTC'], { url: 'prices' }), /`url` has to be an address .* `prices` is none/)
})

test('without EventSource the reason is told once, and nothing is tried', async () => {
  const errors: Error[] = []
  await new Promise<void>(told => {
    const subscription = subscribe(['BTC'], {
      url: 'http://server.test',
      onError: error => {
        errors.push(error)
        assert.equal(error.status, null)
        subscription.close()
        told()
      },
    })
  })
  assert.match(String(errors[0]), /RefusedError: there is no EventSource here/)
})
