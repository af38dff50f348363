/** The state machine of one stream: when it opens, what it asks for, when it gives up on what is open. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { Events } from '../src/events.js'
import type { Status } from '../src/status.js'
import { Stream, type GetTicket } from '../src/stream.js'
import type { Group, Wish } from '../src/wish.js'
import { World } from './world.js'

const GROUP: Group = {
  url: 'http://server.test/',
  mode: 'latest',
  minChange: null,
  heartbeat: null,
  withCredentials: false,
  identity: '',
  share: 'page',
}
const BTC: Wish = { symbols: ['BTC'], fields: null, throttle: null }
const BOTH: Wish = { symbols: ['AAPL', 'BTC'], fields: null, throttle: null }

function start(options: { group?: Partial<Group>; ticket?: GetTicket } = {}) {
  const world = new World()
  const tab = world.tab()
  const statuses: Omit<Status, 'stream'>[] = []
  const events: [keyof Events, any][] = []
  const listener = {
    event: (name: keyof Events, data: string) => void events.push([name, JSON.parse(data)]),
    status: (status: Omit<Status, 'stream'>) => void statuses.push(status),
  }
  const stream = new Stream(tab, { ...GROUP, ...options.group }, listener, () => options.ticket ?? null)
  return { world, tab, stream, events, statuses, status: () => statuses.at(-1), state: () => statuses.at(-1)?.state }
}

const problem = (status: number, type = 'urn:tickcast:problem:some') =>
  new Response(JSON.stringify({ type, title: 'title', detail: 'detail', status }), {
    status,
    headers: { 'content-type': 'application/problem+json' },
  })

test('what is wanted is asked for, and it is live with the first word', async () => {
  const { world, stream, state, events } = start()
  stream.want({ symbols: ['AAPL', 'BRK/B', '*'], fields: ['price', 'symbol'], throttle: 250 })
  assert.equal(world.source.url.href, 'http://server.test/prices?symbols=AAPL,BRK%2FB,*&fields=price,symbol&throttle=250')
  assert.equal(state(), 'connecting')
  world.source.hello().price('BTC', '67012.30', 5)
  assert.equal(state(), 'live')
  assert.deepEqual(events.map(([name]) => name), ['hello', 'message'])
})

test('p31 a stream without heartbeats is opened anew where it stopped', async () => {
  const { world, stream, state, status } = start()
  stream.want(BTC)
  world.source.hello().price('BTC', '1', 5)
  await world.pass(37_000)
  assert.equal(state(), 'live')
  await world.pass(1000)
  assert.equal(world.sources[0]?.isOpen, false)
  assert.equal(status()?.reason?.code, 'silent')
  await world.pass(300)
  assert.equal(world.sources.length, 2)
  assert.equal(world.source.param('last_event_id'), '7f3a.5')
  world.source.hello({ resumed: true })
  assert.deepEqual(status(), { state: 'live', reason: null, nextAttemptAt: null, failures: 0 })
})

test('p31 heartbeats alone keep it open, and take its cursor along', async () => {
  const { world, stream, state } = start()
  stream.want(BTC)
  world.source.hello()
  for (let beat = 1; beat < 10; beat++) {
    await world.pass(15_000)
    world.source.send('hb', { time: 0 }, `7f3a.${beat}`)
  }
  assert.equal(world.sources.length, 1)
  assert.equal(state(), 'live')
  world.source.cut()
  await world.pass(1500)
  assert.equal(world.source.param('last_event_id'), '7f3a.9')
})

test('a server without visible heartbeats is not taken for dead', async () => {
  const { world, stream } = start()
  stream.want(BTC)
  world.source.hello({ heartbeat_ms: 0 })
  await world.pass(600_000)
  world.sleep(60_000)
  await world.pass(10_000)
  assert.equal(world.sources.length, 1)
})

test('p27 attempts are spread, and further apart each time, until something comes', async () => {
  const { world, stream, status } = start()
  const waits: number[] = []
  stream.want(BTC)
  for (let attempt = 0; attempt < 8; attempt++) {
    world.source.cut()
    const next = status()?.nextAttemptAt ?? 0
    waits.push(next - world.now)
    await world.pass(next - world.now - 1)
    assert.equal(world.open.length, 0, 'not before its time')
    await world.pass(1)
    assert.equal(world.open.length, 1)
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
  // A connection alone is no success.
  world.source.hello().cut()
  assert.equal((status()?.nextAttemptAt ?? 0) - world.now, 30_000)
  await world.pass(30_000)
  world.source.hello().price('BTC', '1', 5)
  world.source.cut()
  assert.equal((status()?.nextAttemptAt ?? 0) - world.now, 1000)
})

test('p18 an attempt that nobody answers is given up', async () => {
  const { world, stream, status } = start()
  stream.want(BTC)
  await world.pass(6000)
  assert.equal(world.open.length, 0)
  assert.equal(status()?.reason?.code, 'unanswered')
  await world.pass(1000)
  assert.equal(world.open.length, 1)
})

for (const [name, data] of [['fault', { code: 'rate_limited', retry_ms: 7300 }], ['bye', { reason: 'draining', retry_ms: 7300 }]] as const) {
  test(`p26 after ${name} it waits as long as it was told, whatever else happens`, async () => {
    const { world, stream, status } = start()
    stream.want(BTC)
    if (name === 'bye') world.source.hello()
    world.source.send(name, data)
    assert.equal(world.open.length, 0)
    assert.equal(status()?.reason?.code, name)
    assert.equal(status()?.nextAttemptAt, world.now + 7300)
    stream.woke('online')
    stream.want(BOTH)
    await world.pass(7299)
    assert.equal(world.sources.length, 1)
    await world.pass(1)
    assert.equal(world.source.param('symbols'), 'AAPL,BTC')
  })
}

for (const status of [400, 401, 403, 404]) {
  test(`p25 a final ${status} is told with its reason and not tried again`, async () => {
    const { world, stream, status: last } = start()
    world.answer = () => problem(status)
    stream.want(BTC)
    world.source.refuse()
    await world.pass(0)
    assert.equal(last()?.state, 'refused')
    assert.equal(last()?.reason?.status, status)
    assert.equal(last()?.reason?.problem?.detail, 'detail')
    await world.pass(3_600_000)
    stream.woke('online')
    await world.pass(3_600_000)
    assert.equal(world.sources.length, 1)
    assert.deepEqual(world.asked, ['http://server.test/prices?symbols=BTC&errors=status'])
    // Another list is another question, and so is an order.
    stream.want(BOTH)
    assert.equal(world.sources.length, 2)
    world.source.refuse()
    await world.pass(0)
    stream.retry()
    assert.equal(world.sources.length, 3)
  })
}

test('p22 what a proxy says during a restart is not the last word', async () => {
  const answers: (() => Response)[] = [
    () => new Response('<h1>404</h1>', { status: 404, headers: { 'content-type': 'text/html' } }),
    () => problem(404, 'about:blank'),
    () => new Response('', { status: 502 }),
    () => problem(503),
  ]
  for (const answer of answers) {
    const { world, stream, status } = start()
    world.answer = answer
    stream.want(BTC)
    world.source.refuse()
    await world.pass(0)
    assert.equal(status()?.state, 'waiting')
    assert.equal(status()?.reason?.code, 'refused')
    await world.pass(1000)
    world.source.hello()
    assert.equal(status()?.state, 'live')
  }
})

test('after 204 it is over; after a refusal that names no reason it goes on, ever slower', async () => {
  const over = start()
  over.world.answer = () => new Response(null, { status: 204 })
  over.stream.want(BTC)
  over.world.source.refuse()
  await over.world.pass(3_600_000)
  assert.equal(over.state(), 'refused')
  assert.equal(over.world.sources.length, 1)

  const unknown = start()
  unknown.stream.want(BTC)
  for (let attempt = 0; attempt < 5; attempt++) {
    unknown.world.source.refuse()
    await unknown.world.pass(1000 * 2 ** attempt)
    assert.equal(unknown.world.sources.length, attempt + 2)
  }
})

test('a refusal whose reason does not come in time is one that passes', async () => {
  const { world, stream, state } = start()
  world.answer = () => new Promise(() => undefined)
  stream.want(BTC)
  world.source.refuse()
  await world.pass(15_000)
  assert.equal(world.sources.length, 2)
  world.source.hello()
  assert.equal(state(), 'live')
})

test('a refusal of what is no longer wanted is none', async () => {
  const { world, stream, state } = start()
  let answer: (response: Response) => void = () => undefined
  world.answer = () => new Promise(resolve => (answer = resolve))
  stream.want(BTC)
  world.source.refuse()
  await world.pass(0)
  stream.want(BOTH)
  answer(problem(404))
  await world.pass(0)
  assert.equal(state(), 'connecting')
  assert.equal(world.source.param('symbols'), 'AAPL,BTC')
})

test('a wait that a 429 names is kept', async () => {
  const { world, stream, status } = start()
  world.answer = () => new Response('', { status: 429, headers: { 'retry-after': '20' } })
  stream.want(BTC)
  world.source.refuse()
  await world.pass(0)
  assert.equal(status()?.nextAttemptAt, world.now + 25_000)
})

test('another list opens another stream, and the old one goes on until that speaks', async () => {
  const { world, stream, events, statuses, state } = start()
  stream.want(BTC)
  world.source.hello().price('BTC', '1', 5)
  stream.want(BOTH)
  const [old, next] = world.sources
  assert.equal(next?.param('last_event_id'), null, 'a cursor holds for one list')
  assert.equal(old?.isOpen, true)
  old?.price('BTC', '2', 6)
  next?.hello()
  assert.equal(old?.isOpen, false)
  assert.equal(world.open.length, 1)
  assert.deepEqual(events.map(([name, data]) => data.price ?? name), ['hello', '1', '2', 'hello'])
  assert.equal(state(), 'live')
  assert.equal(statuses.filter(status => status.state !== 'live').length, 1, 'it was never interrupted')
})

test('p18 the old one gives its connection to its replacement if that needs it', async () => {
  const { world, stream, state } = start()
  stream.want(BTC)
  world.source.hello()
  stream.want(BOTH)
  await world.pass(4000)
  assert.deepEqual(world.sources.map(source => source.isOpen), [false, true])
  world.source.hello()
  assert.equal(state(), 'live')
})

test('every trade: another list goes on from the same cursor, without two streams at once', async () => {
  const { world, stream } = start({ group: { mode: 'ticks' } })
  stream.want({ ...BTC, throttle: 100 })
  assert.equal(world.source.url.search, '?symbols=BTC&mode=ticks')
  world.source.hello().price('BTC', '1', 5)
  stream.want(BOTH)
  assert.equal(world.open.length, 1)
  assert.equal(world.source.param('last_event_id'), '7f3a.5')
})

test('p31 after sleep, what still speaks is kept and what does not is opened anew within seconds', async () => {
  for (const speaks of [true, false]) {
    const { world, stream } = start()
    stream.want(BTC)
    world.source.hello().price('BTC', '1', 5)
    await world.pass(3000)
    world.sleep(8 * 3_600_000)
    // The timer that was due, late.
    await world.pass(0)
    if (speaks) world.source.price('BTC', '2', 6)
    await world.pass(2500)
    assert.equal(world.sources.length, speaks ? 1 : 2)
    if (!speaks) assert.equal(world.source.param('last_event_id'), '7f3a.5')
  }
})

test('p31 on another network the old line gets two seconds to speak', async () => {
  const { world, stream } = start()
  stream.want(BTC)
  world.source.hello()
  await world.pass(1000)
  stream.woke('online')
  await world.pass(1900)
  assert.equal(world.sources.length, 1)
  await world.pass(1000)
  assert.equal(world.sources.length, 2)
})

test('p32 a tab that was only out of sight keeps its stream', async () => {
  const { world, stream } = start()
  stream.want(BTC)
  world.source.hello()
  await world.pass(14_000)
  stream.woke('seen')
  await world.pass(1000)
  world.source.send('hb', {})
  await world.pass(14_000)
  assert.equal(world.sources.length, 1)
})

test('who waits for the next attempt tries at once when the network is back', async () => {
  const { world, stream } = start()
  stream.want(BTC)
  for (let attempt = 0; attempt < 6; attempt++) {
    world.source.cut()
    if (attempt < 5) await world.pass(30_000)
  }
  stream.woke('online')
  await world.pass(300)
  assert.equal(world.open.length, 1)
})

test('in a hidden tab, whose timers come once a minute, a stream that speaks is left alone', async () => {
  const { world, tab, stream } = start()
  tab.isHidden = true
  stream.want(BTC)
  world.source.hello()
  for (let minute = 0; minute < 10; minute++) {
    tab.isFrozen = true
    for (let beat = 0; beat < 4; beat++) {
      await world.pass(15_000)
      world.source.send('hb', {})
    }
    tab.isFrozen = false
    await world.pass(0)
  }
  assert.equal(world.sources.length, 1)
})

test('p45 each attempt has a ticket of its own, also the one that asks why', async () => {
  let number = 0
  const { world, stream, state } = start({ ticket: async symbols => `${symbols.join('+')} ${++number}` })
  world.answer = () => problem(401)
  stream.want(BTC)
  assert.equal(state(), 'connecting')
  await world.settle()
  assert.equal(world.source.param('ticket'), 'BTC 1')
  world.source.hello().price('BTC', '1', 5)
  world.source.cut()
  await world.pass(1000)
  assert.equal(world.source.param('ticket'), 'BTC 2')
  assert.equal(world.source.param('last_event_id'), '7f3a.5')
  // A ticket that was too old is no reason to give up; a second one is.
  world.source.refuse()
  await world.pass(2000)
  assert.equal(world.source.param('ticket'), 'BTC 4')
  world.source.refuse()
  await world.pass(0)
  assert.equal(state(), 'refused')
  assert.equal(number, 5)
})

test('p45 before its credential expires the stream is replaced by one with a fresh ticket', async () => {
  let number = 0
  const { world, stream, statuses } = start({ ticket: async () => `${++number}` })
  stream.want(BTC)
  await world.settle()
  world.source.hello().send('notice', { code: 'credential_expiring', in_ms: 60_000 })
  await world.pass(16_000)
  assert.equal(world.source.param('ticket'), '2')
  assert.equal(world.open.length, 2)
  world.source.hello()
  assert.equal(world.open.length, 1)
  assert.deepEqual(statuses.map(status => status.state), ['connecting', 'live', 'live'])
})

test('a ticket that cannot be had is tried for again, ever slower', async () => {
  let calls = 0
  const ticket = () => {
    calls++
    throw new Error('logged out')
  }
  const { world, stream, status } = start({ ticket })
  stream.want(BTC)
  await world.pass(0)
  assert.equal(status()?.reason?.code, 'ticket')
  assert.match(status()?.reason?.text ?? '', /logged out/)
  await world.pass(60_000)
  assert.equal(calls, 6)
  assert.equal(world.sources.length, 0)
})

test('once it is stopped nothing happens any more', async () => {
  const { world, stream, state, events } = start()
  stream.want(BTC)
  world.source.hello()
  const heard = events.length
  stream.want({ ...BTC, symbols: [] })
  assert.equal(state(), 'idle')
  world.source.price('BTC', '1', 5)
  await world.pass(600_000)
  stream.woke('online')
  stream.retry()
  await world.pass(600_000)
  assert.equal(world.sources.length, 1)
  assert.equal(events.length, heard)
})
