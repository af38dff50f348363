/** When subscribers are told what. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Delivery, type DeliveryOptions } from '../src/delivery.js'
import { World } from './world.js'

interface Item {
  symbol: string
  price: number
}

function start(options: Partial<DeliveryOptions> = {}) {
  const world = new World()
  const tab = world.tab()
  const told: string[] = []
  const delivery = new Delivery<Item>(tab, { when: 'frame', every: false, throttle: 0, ...options }, (items, lost) => {
    told.push(items.map(({ symbol, price }) => `${symbol}=${price}`).join(' ') + (lost ? ` lost ${lost}` : ''))
  })
  return { world, tab, told, push: (symbol: string, price: number) => delivery.push({ symbol, price }), delivery }
}

test('p21 all that came since the last frame is told in one call, the newest of each symbol', () => {
  const { tab, told, push } = start()
  for (let price = 1; price <= 500; price++) push(price % 2 ? 'BTC' : 'AAPL', price)
  assert.deepEqual(told, [])
  tab.paint()
  tab.paint()
  assert.deepEqual(told, ['BTC=499 AAPL=500'])
})

test('p50 in a hidden tab nothing piles up, and the newest is told when it is seen', () => {
  const { tab, told, push } = start()
  tab.isHidden = true
  for (let price = 1; price <= 100_000; price++) push('BTC', price)
  tab.paint()
  assert.deepEqual(told, [])
  tab.isHidden = false
  tab.paint()
  assert.deepEqual(told, ['BTC=100000'])
})

test('immediate delivery waits for nothing', () => {
  const { told, push } = start({ when: 'immediate' })
  push('BTC', 1)
  push('BTC', 2)
  assert.deepEqual(told, ['BTC=1', 'BTC=2'])
})

test('a throttle of its own is kept, and the newest comes at its end', async () => {
  const { world, told, push } = start({ when: 'immediate', throttle: 1000 })
  push('BTC', 1)
  for (let price = 2; price < 30; price++) {
    await world.pass(100)
    push('BTC', price)
  }
  await world.pass(1000)
  assert.deepEqual(told, ['BTC=1', 'BTC=10', 'BTC=20', 'BTC=29'])
})

test('every trade is told in order; what is too much for a hidden tab is counted', () => {
  const { tab, told, push } = start({ every: true })
  push('BTC', 1)
  push('BTC', 1)
  tab.paint()
  assert.deepEqual(told, ['BTC=1 BTC=1'])
  for (let price = 0; price < 10_005; price++) push('BTC', price)
  tab.paint()
  assert.ok(told[1]?.startsWith('BTC=5 BTC=6 ') && told[1].endsWith('BTC=10004 lost 5'))
})

test('who throws is reported and told again, and who has left is not', () => {
  const world = new World()
  const tab = world.tab()
  let calls = 0
  const delivery = new Delivery<Item>(tab, { when: 'frame', every: false, throttle: 0 }, () => {
    calls++
    throw new Error('mine')
  })
  delivery.push({ symbol: 'BTC', price: 1 })
  tab.paint()
  delivery.push({ symbol: 'BTC', price: 2 })
  tab.paint()
  assert.equal(calls, 2)
  assert.equal(tab.reported.length, 2)
  delivery.push({ symbol: 'BTC', price: 3 })
  delivery.end()
  tab.paint()
  assert.equal(calls, 2)
})
