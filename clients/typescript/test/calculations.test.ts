/** Backoff, wishes, decimals: functions of their arguments. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { backoff } from '../src/backoff.js'
import { compareDecimals, formatDecimal } from '../src/decimal.js'
import { covers, merge } from '../src/wish.js'

test('p27 the wait doubles up to half a minute and its spread grows with it', () => {
  assert.deepEqual([0, 1, 2, 5, 50].map(failures => [backoff(failures, 0), backoff(failures, 1)]), [
    [500, 1500],
    [1000, 3000],
    [2000, 6000],
    [15_000, 45_000],
    [15_000, 45_000],
  ])
})

test('one wish grants all: every symbol, every field, the shortest throttle', () => {
  const wish = (symbols: string, fields: string | null, throttle: number | null) => ({
    symbols: symbols.split(' '),
    fields: fields?.split(' ') ?? null,
    throttle,
  })
  assert.deepEqual(merge([wish('BTC AAPL', null, null), wish('ETH BTC', null, null)]), wish('AAPL BTC ETH', null, null))
  assert.deepEqual(merge([wish('BTC', 'symbol price', 1000), wish('BTC', 'symbol venue', 500)]), wish('BTC', 'price symbol venue', 500))
  // Those who say nothing have the server's default.
  const both = merge([wish('BTC', null, null), wish('BTC', 'venue', 1000)])
  assert.equal(both.throttle, 100)
  assert.ok(both.fields?.includes('venue') && both.fields.includes('change_pct'))
  assert.equal(merge([wish('BTC', null, null), wish('BTC', null, 0)]).throttle, 0)
  assert.deepEqual(merge([]).symbols, [])

  assert.ok(covers(both, wish('BTC', null, 250)))
  assert.ok(covers(both, wish('BTC', 'venue', null)))
  for (const more of [wish('ETH', null, null), wish('BTC', 'high', null), wish('BTC', null, 50)]) assert.ok(!covers(both, more))
})

test('m45 decimals are compared and shown digit by digit', () => {
  const shown = (text: string, decimals: number) => formatDecimal(text, decimals, ',')
  assert.equal(shown('67012.345', 2), '67,012.35')
  assert.equal(shown('100.10', 4), '100.1000')
  assert.equal(shown('0.000012345', 8), '0.00001235')
  assert.equal(shown('999.995', 2), '1,000.00')
  assert.equal(shown('-1234567.5', 0), '-1,234,568')
  assert.equal(shown('-0.004', 2), '0.00')
  assert.equal(formatDecimal('12345678901234567890.123456789', 9), '12345678901234567890.123456789')
  assert.throws(() => formatDecimal('1e5', 2), /1e5/)
  assert.throws(() => formatDecimal('', 2), RangeError)

  // As numbers these would be equal.
  assert.ok(compareDecimals('9007199254740993', '9007199254740992') > 0)
  assert.ok(compareDecimals('0.1', '0.10') === 0)
  assert.ok(compareDecimals('-2', '1.5') < 0)
  assert.ok(compareDecimals('-2.1', '-2.05') < 0)
  assert.equal(compareDecimals('-0', '0.000'), 0)
})
