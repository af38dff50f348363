/** Several tabs, one stream: who has it, what the others see, and what happens when it ends, freezes or wakes up. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { Gap, Notice } from '../src/events.js'
import { Hub, type AnyPrice } from '../src/hub.js'
import type { Status } from '../src/status.js'
import type { Group } from '../src/wish.js'
import { World, type Tab } from './world.js'

const GROUP: Group = {
  url: 'http://server.test/',
  mode: 'latest',
  minChange: null,
  heartbeat: null,
  withCredentials: false,
  identity: '',
  share: 'browser',
}

/** A page that shows symbols. */
class Page {
  readonly tab: Tab
  readonly hub: Hub
  readonly statuses: Status[] = []
  readonly prices: string[] = []
  #seat: ReturnType<Page['seat']> | null = null

  constructor(world: World, symbols: string[], group: Partial<Group> = {}) {
    this.tab = world.tab()
    this.hub = new Hub(this.tab, { ...GROUP, ...group }, () => undefined)
    this.show(symbols)
  }

  show(symbols: string[]): void {
    if (this.#seat) this.hub.remove(this.#seat)
    this.#seat = null
    if (symbols.length) this.hub.add((this.#seat = this.seat(symbols)))
  }

  seat(symbols: string[]) {
    return {
      wish: { symbols, fields: null, throttle: null },
      tellPrice: (price: AnyPrice) => void this.prices.push(`${price.symbol}=${(price as unknown as { price: string }).price}`),
      tellGap: (_: Gap) => undefined,
      tellNotice: (_: Notice) => undefined,
      tellStatus: (status: Status) => void this.statuses.push(status),
      tellNames: () => undefined,
    }
  }

  get role() {
    return this.hub.status.stream
  }

  get state() {
    return this.hub.status.state
  }
}

/** A leader that follows BTC, live, and a follower that asks for the same. */
async function two() {
  const world = new World()
  const first = new Page(world, ['BTC'])
  await world.pass(50)
  world.source.hello().price('BTC', '1', 5)
  const second = new Page(world, ['BTC'])
  await world.pass(50)
  return { world, first, second }
}

test('p20 two tabs share one stream, and the second has its price from the first at once', async () => {
  const { world, first, second } = await two()
  assert.equal(world.sources.length, 1)
  assert.deepEqual([first.role, second.role], ['leader', 'follower'])
  assert.deepEqual(second.prices, ['BTC=1'])
  assert.equal(second.state, 'live')
  world.source.price('BTC', '2', 6)
  await world.settle()
  assert.deepEqual([first.prices.at(-1), second.prices.at(-1)], ['BTC=2', 'BTC=2'])
})

test('p20 the stream follows what all tabs show together, and gets shorter some time after one has left', async () => {
  const { world, second } = await two()
  second.show(['ETH', 'btc'])
  await world.pass(50)
  assert.equal(world.source.param('symbols'), 'BTC,ETH,btc')
  world.source.hello()
  world.source.price('ETH', '7', 8)
  world.source.price('BTC', '2', 9)
  await world.settle()
  assert.deepEqual(second.prices.slice(-2), ['ETH=7', 'BTC=2'], 'by its own names too')
  second.show([])
  await world.pass(1000)
  assert.equal(second.state, 'idle')
  assert.equal(world.open.length, 1)
  await world.pass(2000)
  assert.equal(world.source.param('symbols'), 'BTC')
})

test('p20 components that come one after the other open one stream, and one that comes back at once opens none', async () => {
  const world = new World()
  const page = new Page(world, ['BTC'])
  for (const symbol of ['ETH', 'SOL']) page.hub.add(page.seat([symbol]))
  await world.pass(50)
  assert.equal(world.sources.length, 1)
  assert.equal(world.source.param('symbols'), 'BTC,ETH,SOL')
  world.source.hello()
  const seat = page.seat(['XRP'])
  page.hub.add(seat)
  await world.pass(10)
  page.hub.remove(seat)
  page.show([])
  await world.pass(500)
  page.show(['BTC'])
  await world.pass(10_000)
  assert.equal(world.sources.length, 1)
})

test('p20 when the leader ends without a word another tab goes on where it stopped', async () => {
  const { world, first, second } = await two()
  world.source.price('BTC', '2', 6)
  await world.settle()
  first.tab.crash()
  await world.pass(200)
  assert.equal(second.role, 'leader')
  assert.equal(world.open.length, 1)
  assert.equal(world.source.tab, second.tab)
  assert.equal(world.source.param('last_event_id'), '7f3a.6')
  world.source.hello({ resumed: true }).price('BTC', '3', 7)
  assert.equal(second.prices.at(-1), 'BTC=3')
})

test('p20 when the leader ends, a third tab keeps its symbols and follows the new one', async () => {
  const { world, first, second } = await two()
  const third = new Page(world, ['ETH'])
  await world.pass(50)
  world.source.hello()
  const before = world.sources.length
  first.tab.crash()
  await world.pass(200)
  assert.equal(world.sources.length, before + 1, 'all were asked before it was opened')
  const [leader, follower] = second.role === 'leader' ? [second, third] : [third, second]
  assert.deepEqual([leader.role, follower.role], ['leader', 'follower'])
  assert.equal(world.open.length, 1)
  assert.equal(world.source.param('symbols'), 'BTC,ETH')
  assert.equal(world.source.param('last_event_id'), '7f3a.0', 'the same list: it may resume')
  world.source.hello().price('ETH', '8', 9)
  await world.settle()
  assert.deepEqual([leader.prices.at(-1), follower.prices.at(-1)].includes('ETH=8'), true)
})

test('p20 after a handover a new tab has the prices, too, that have not changed since', async () => {
  const world = new World()
  const first = new Page(world, ['BTC', 'AAPL'])
  await world.pass(50)
  world.source.hello().price('AAPL', '230', 4)
  world.source.price('BTC', '1', 5)
  const second = new Page(world, ['AAPL', 'BTC'])
  await world.pass(50)
  first.tab.crash()
  await world.pass(200)
  assert.equal(world.source.param('last_event_id'), '7f3a.5')
  // It resumes, so the server sends only what changed.
  world.source.hello({ resumed: true }).price('BTC', '2', 6)
  await world.settle()
  const third = new Page(world, ['AAPL'])
  await world.pass(50)
  assert.deepEqual([second.role, third.role], ['leader', 'follower'])
  assert.ok(third.prices.includes('AAPL=230'))
})

test('a symbol that the catalogue gets while streams are open is everybody\'s, and one that it loses is told', async () => {
  const { world, first, second } = await two()
  first.show(['BTC', 'new'])
  second.show(['*'])
  await world.pass(50)
  world.source.send('hello', {
    ...{ symbols: { BTC: 'BTC' }, heartbeat_ms: 15_000, resumed: false },
    rejected: [{ symbol: 'new', code: 'unknown_symbol', suggestions: [] }],
  }, '7f3a.5')
  world.source.send('notice', { code: 'symbols', added: { new: 'NEW' }, removed: ['BTC'] })
  world.source.price('NEW', '7', 8)
  world.source.price('BTC', '2', 9)
  await world.settle()
  const late = new Page(world, ['new'])
  await world.pass(50)
  for (const page of [first, second]) {
    assert.deepEqual(page.prices.slice(-2), ['NEW=7', 'BTC=2'])
    assert.deepEqual(page.hub.rejected.map(({ symbol }) => symbol), ['BTC'])
  }
  assert.equal(late.prices.at(-1), 'NEW=7')
})

test('p20 a tab that ends without a word is forgotten by the leader', async () => {
  const { world, second } = await two()
  second.show(['ETH'])
  await world.pass(50)
  world.source.hello()
  second.tab.crash()
  await world.pass(3000)
  assert.equal(world.source.param('symbols'), 'BTC')
})

test('p30 a leader that is frozen hands over, and is a follower when it wakes up', async () => {
  const { world, first, second } = await two()
  first.tab.freeze()
  await world.pass(200)
  assert.equal(second.role, 'leader')
  assert.deepEqual(world.open.map(source => source.tab), [second.tab])
  world.source.hello().price('BTC', '2', 6)
  await world.pass(60_000)
  first.tab.thaw('resumed')
  await world.pass(100)
  assert.equal(first.role, 'follower')
  assert.equal(first.prices.at(-1), 'BTC=2')
  assert.equal(world.open.length, 1)
})

test('p30 a leader that is stuck without notice loses its lock to a tab that is seen', async () => {
  const { world, first, second } = await two()
  world.source.price('BTC', '2', 6)
  await world.settle()
  first.tab.isFrozen = true
  await world.pass(6000)
  assert.equal(second.role, 'follower')
  await world.pass(2200)
  assert.equal(second.role, 'leader')
  assert.equal(world.source.param('last_event_id'), '7f3a.6')
  world.source.hello({ resumed: true }).price('BTC', '3', 7)
  await world.settle()
  first.tab.thaw()
  await world.pass(200)
  assert.equal(first.role, 'follower')
  assert.deepEqual(world.open.map(source => source.tab), [second.tab])
  assert.equal(first.prices.at(-1), 'BTC=3')
})

test('p30 a hidden tab steals from nobody, and looks after the leader once it is seen', async () => {
  const { world, first, second } = await two()
  second.tab.isHidden = true
  first.tab.isFrozen = true
  await world.pass(60_000)
  assert.equal(second.role, 'follower')
  second.tab.isHidden = false
  second.tab.wake('seen')
  await world.pass(5500)
  assert.equal(second.role, 'leader')
})

test('a quiet leader is asked and left alone', async () => {
  const { world, first, second } = await two()
  for (let beat = 0; beat < 20; beat++) {
    await world.pass(15_000)
    world.source.send('hb', {})
  }
  assert.deepEqual([first.role, second.role], ['leader', 'follower'])
  assert.equal(world.sources.length, 1)
})

test('p31 a tab that is seen has a hidden leader look at its stream in time, whose own timers are late', async () => {
  const { world, first, second } = await two()
  first.tab.isHidden = true
  // Of the hidden tab only what comes from others runs.
  Object.defineProperty(first.tab, 'runs', { value: false })
  let passed = 0
  for (; world.sources[0]?.isOpen && passed < 120_000; passed += 1000) await world.pass(1000)
  assert.ok(passed <= 42_000, `${passed}`)
  assert.equal(second.hub.status.reason?.code, 'silent')
  await world.pass(4500)
  assert.equal(world.open.length, 1)
  assert.equal(world.source.tab, first.tab)
  assert.equal(second.role, 'follower')
})

test('followers see how the stream is, and may ask for another attempt', async () => {
  const { world, second } = await two()
  world.answer = () =>
    new Response('{"type":"urn:tickcast:problem:forbidden","title":"no","status":403}', {
      status: 403,
      headers: { 'content-type': 'application/problem+json' },
    })
  world.source.refuse()
  await world.pass(100)
  assert.equal(second.state, 'refused')
  assert.equal(second.hub.status.reason?.status, 403)
  second.hub.retry()
  await world.pass(100)
  assert.equal(world.sources.length, 2)
  world.source.hello()
  await world.settle()
  assert.equal(second.state, 'live')
})

test('without locks, or where that is wanted, each page has its own stream', async () => {
  for (const share of ['browser', 'page'] as const) {
    const world = new World()
    world.hasLocks = share === 'page'
    const pages = [new Page(world, ['BTC'], { share }), new Page(world, ['BTC'], { share })]
    await world.pass(50)
    assert.equal(world.open.length, 2)
    assert.deepEqual(pages.map(page => page.role), ['own', 'own'])
    // The back/forward cache closes streams; coming back opens them where they were.
    world.source.hello().price('BTC', '1', 5)
    pages[1]?.tab.freeze()
    assert.equal(world.open.length, 1)
    pages[1]?.tab.thaw('restored')
    await world.pass(50)
    assert.equal(world.open.length, 2)
    assert.equal(world.source.param('last_event_id'), '7f3a.5')
  }
})

test('where locks are refused, each page has its own stream', async () => {
  const world = new World()
  world.refusesLocks = true
  const pages = [new Page(world, ['BTC']), new Page(world, ['BTC'])]
  await world.pass(60_000)
  assert.deepEqual(pages.map(page => page.role), ['own', 'own'])
  assert.equal(world.open.length, 2)
})

test('a page that leaves for good while it sleeps stays away', async () => {
  const { world, first, second } = await two()
  second.tab.freeze()
  second.show([])
  await world.pass(100)
  second.tab.thaw('restored')
  await world.pass(5000)
  assert.equal(second.state, 'idle')
  second.tab.wake('restored')
  await world.pass(5000)
  assert.equal(second.role, 'own')
  assert.deepEqual([first.role, world.open.length], ['leader', 1])
})

test('those who ask for other things, or are other people, do not share', async () => {
  const world = new World()
  const groups: Partial<Group>[] = [{}, { identity: 'alice' }, { minChange: '1%' }, { mode: 'ticks' }, { url: 'http://other.test/' }]
  const pages = groups.map(group => new Page(world, ['BTC'], group))
  await world.pass(50)
  assert.equal(world.open.length, groups.length)
  assert.ok(pages.every(page => page.role === 'leader'))
})
