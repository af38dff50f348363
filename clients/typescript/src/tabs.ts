/**
 * Whose stream it is: of all tabs that follow the same thing, one has it (the leader) and tells the others.
 *
 * Web Locks elect the leader and a BroadcastChannel carries its events. A SharedWorker would do without elections, but it needs
 * a script of its own at an address of the page's origin, which bundlers and content policies make the user's problem; it cannot
 * call a page's `ticket` function; and when its process crashes, nobody is told. A lock is given back by the browser itself,
 * whichever way its tab ends, and a tab that holds one is not frozen by Chromium. One that is frozen or stuck all the same is
 * noticed by tabs that are seen: they steal its lock.
 */

import { afterChange, type Events, type Hello, type Notice } from './events.js'
import type { Channel, Locks, Platform, Wake } from './platform.js'
import type { Status } from './status.js'
import { IDLE, Stream, TICK_MS, type Cursor, type GetTicket, type StreamListener } from './stream.js'
import { covers, groupKey, merge, type Group, type Wish } from './wish.js'

/** A leader that has said nothing for this long is asked for a sign of life, */
const ASK_MS = 3000
/** and one that still says nothing after this long has its lock stolen. */
const STEAL_MS = 7000
/** For all tabs to tell a new leader what they want, so that the stream is opened once and may resume. */
const GATHER_MS = 100
/** Nobody is hurt by a symbol too many, so a list gets shorter late. */
const SHRINK_MS = 2000

export interface TabsListener {
  event<N extends keyof Events>(name: N, data: Events[N], id: string): void
  status(status: Status): void
}

/** Between tabs. `from` and `to` are tabs. */
type Word =
  | { is: 'lead'; from: string }
  | { is: 'join'; from: string; wish: Wish }
  | { is: 'leave'; from: string }
  | { is: 'ask'; from: string; retry: boolean }
  | { is: 'here'; from: string }
  /** To one that joined: how things are, the stream's `hello`, and the newest message of each symbol. */
  | { is: 'state'; from: string; to: string; status: Status; hello: string | null; newest: string[]; cursor: Cursor }
  | { is: 'event'; from: string; name: keyof Events; data: string; cursor: Cursor }
  | { is: 'status'; from: string; status: Status }

export class Tabs {
  readonly #id = Math.random().toString(36).slice(2)
  readonly #name: string
  #wish: Wish = { symbols: [], fields: null, throttle: null }
  #channel: Channel | null = null
  #locks: Locks | null = null
  /** Aborted when this page leaves the others. */
  #stay = new AbortController()
  /** Aborted when a place in the queue for the lock is given up. */
  #queued = new AbortController()
  #cancelWatch: () => void = () => undefined
  #cancelGather: (() => void) | null = null
  #cancelShrink: (() => void) | null = null
  #endLifecycle: () => void = () => undefined
  #cursor: Cursor = { id: '', key: '' }
  /** The newest message of each symbol up to the cursor, and the `hello`. Of all, whatever this page shows: who leads next goes on from there. */
  #newest = new Map<string, string>()
  #hello: string | null = null
  /** The others' leader, and when it was heard last. */
  #leader: string | null = null
  #heardAt = 0

  // What only a leader has.
  #stream: Stream | null = null
  #resign: () => void = () => undefined
  #wishes = new Map<string, Wish>()
  #applied: Wish | null = null
  /** Aborted when it is none any more. */
  #reign = new AbortController()
  #status: Status = { ...IDLE, stream: 'own' }

  constructor(
    private readonly platform: Platform,
    private readonly group: Group,
    private readonly listener: TabsListener,
    private readonly ticket: () => GetTicket | null,
  ) {
    // The number goes up with what tabs say to each other.
    this.#name = `tickcast 1 ${groupKey(group)}`
  }

  /** What this page wants from now on. Nothing: it leaves, and its stream with it. */
  want(wish: Wish): void {
    const was = this.#wish
    this.#wish = wish
    if (!wish.symbols.length) return this.#leave(true)
    if (!was.symbols.length) {
      this.#endLifecycle = this.platform.lifecycle(
        why => this.#woke(why),
        // A frozen page reads nothing, and what others tell it would pile up.
        () => this.#leave(false),
      )
      this.#join()
    } else if (this.#stream) {
      this.#wishesChanged()
    } else {
      this.#post({ is: 'join', from: this.#id, wish })
    }
  }

  /** Tries now, whatever was planned, also after a refusal. */
  retry(): void {
    if (this.#stream) this.#stream.retry()
    else this.#post({ is: 'ask', from: this.#id, retry: true })
  }

  #join(): void {
    this.#stay = new AbortController()
    this.#locks = this.group.share === 'browser' ? this.platform.locks() : null
    this.#channel = this.#locks && this.platform.channel(this.#name)
    if (!this.#locks || !this.#channel) return this.#lead()
    this.#channel.onmessage = event => this.#read(event.data as Word)
    // Whoever gets this lock knows that we are gone.
    this.#hold(`${this.#name} ${this.#id}`, this.#stay.signal)
    this.#heardAt = this.platform.now()
    this.#queue(false)
    this.#post({ is: 'join', from: this.#id, wish: this.#wish })
    this.#watch()
  }

  #hold(name: string, until: AbortSignal): void {
    const held = () => new Promise<void>(resolve => until.addEventListener('abort', () => resolve()))
    this.#locks?.request(name, { signal: until }, held).catch(() => undefined)
  }

  /** Becomes the leader as soon as there is none, or at once. */
  #queue(steal: boolean): void {
    this.#queued.abort()
    const queued = (this.#queued = new AbortController())
    const held = () =>
      queued.signal.aborted ? undefined : new Promise<void>(resolve => {
        this.#resign = resolve
        this.#lead()
      })
    this.#locks?.request(this.#name, steal ? { steal } : { signal: queued.signal }, held).catch((error: unknown) => {
      if (queued.signal.aborted || this.#stay.signal.aborted) return
      // Not for us: a sandboxed frame, say.
      if ((error as Error).name !== 'AbortError') return this.#goAlone()
      // Another tab took us for frozen. It has the stream now; we are the next again.
      this.#stepDown()
      this.#queue(false)
      this.#post({ is: 'join', from: this.#id, wish: this.#wish })
    })
  }

  #goAlone(): void {
    this.#cancelWatch()
    this.#channel?.close()
    this.#channel = this.#locks = null
    if (!this.#stream) this.#lead()
  }

  #lead(): void {
    const isAlone = !this.#channel
    const role = isAlone ? 'own' : 'leader'
    const takesOver = this.#leader !== null
    this.#leader = null
    this.#reign = new AbortController()
    const listener: StreamListener = {
      event: (name, data, id) => this.#event(name, data, id),
      status: status => {
        // Once it is not ours any more, whoever leads then says how things are.
        if (this.#stream !== stream) return
        this.#status = { ...status, stream: role }
        this.#post({ is: 'status', from: this.#id, status: this.#status })
        this.listener.status(this.#status)
      },
    }
    const stream = (this.#stream = new Stream(this.platform, this.group, listener, this.ticket, this.#cursor))
    this.#post({ is: 'lead', from: this.#id })
    if (takesOver) {
      this.#cancelGather = this.platform.after(GATHER_MS, () => {
        this.#cancelGather = null
        this.#apply()
      })
    } else {
      this.#apply()
    }
  }

  #stepDown(): void {
    const stream = this.#stream
    this.#stream = null
    this.#cancelGather?.()
    this.#cancelShrink?.()
    this.#cancelGather = this.#cancelShrink = null
    if (stream) {
      this.#cursor = stream.cursor
      stream.stop()
    }
    this.#reign.abort()
    this.#wishes.clear()
    this.#applied = null
  }

  #leave(forGood: boolean): void {
    if (!this.#stay.signal.aborted) {
      this.#cancelWatch()
      this.#post({ is: 'leave', from: this.#id })
      this.#stay.abort()
      this.#queued.abort()
      this.#stepDown()
      this.#resign()
      this.#channel?.close()
      this.#channel = null
      this.#leader = null
    }
    if (!forGood) return
    this.#endLifecycle()
    this.listener.status({ ...IDLE, stream: 'own' })
  }

  #woke(why: Wake): void {
    if (this.#stay.signal.aborted) {
      // Left while it slept.
      if (this.#wish.symbols.length) this.#join()
    } else if (this.#stream) {
      this.#stream.woke(why)
    } else {
      // It may have slept as well: one question, and a moment for the answer.
      this.#heardAt = Math.max(this.#heardAt, this.platform.now() - ASK_MS)
      this.#look()
    }
  }

  #watch(): void {
    this.#cancelWatch = this.platform.after(TICK_MS, () => {
      this.#watch()
      this.#look()
    })
  }

  /** Looks after the leader, where it is another tab. A hidden page need not: nobody sees that its prices stand still. */
  #look(): void {
    if (this.#stream || this.platform.hidden()) return
    const quiet = this.platform.now() - this.#heardAt
    if (quiet >= STEAL_MS) {
      this.#heardAt = this.platform.now()
      this.#queue(true)
    } else if (quiet >= ASK_MS) {
      this.#post({ is: 'ask', from: this.#id, retry: false })
    }
  }

  #read(word: Word): void {
    if (this.#stream) this.#readAsLeader(word)
    else this.#readAsFollower(word)
  }

  #readAsLeader(word: Word): void {
    switch (word.is) {
      case 'join': {
        const isNew = !this.#wishes.has(word.from)
        this.#wishes.set(word.from, word.wish)
        if (isNew) this.#missIt(word.from)
        this.#wishesChanged()
        // It has heard all the rest since.
        if (isNew) this.#tellState(word.from)
        return
      }
      case 'leave':
        this.#gone(word.from)
        return
      case 'ask':
        this.#post({ is: 'here', from: this.#id })
        if (word.retry) this.#stream?.retry()
        // Our own timers may be slowed down; whoever asks is seen.
        else this.#stream?.check()
        return
      case 'lead':
        // Somebody stole the lock, and we are about to be told.
        return
    }
  }

  #tellState(to: string): void {
    const newest = [...this.#newest.values()]
    this.#post({ is: 'state', from: this.#id, to, status: this.#status, hello: this.#hello, newest, cursor: this.#cursor })
  }

  /** Takes note of a tab's end, whichever way it ends. */
  #missIt(tab: string): void {
    const gone = () => this.#gone(tab)
    this.#locks?.request(`${this.#name} ${tab}`, { signal: this.#reign.signal }, gone).catch(() => undefined)
  }

  #gone(tab: string): void {
    if (this.#wishes.delete(tab)) this.#wishesChanged()
  }

  #readAsFollower(word: Word): void {
    if (word.is === 'lead') {
      this.#leader = word.from
      this.#post({ is: 'join', from: this.#id, wish: this.#wish })
    } else if (word.is === 'state' && word.to === this.#id) {
      this.#leader = word.from
      this.#cursor = word.cursor
      this.#follow(word.status)
      this.#newest.clear()
      if (word.hello) this.#tell('hello', word.hello)
      for (const message of word.newest) this.#tell('message', message)
    } else if (word.from !== this.#leader) {
      return
    } else if (word.is === 'event') {
      this.#cursor = word.cursor
      this.#tell(word.name, word.data)
    } else if (word.is === 'status') {
      this.#follow(word.status)
    }
    this.#heardAt = this.platform.now()
  }

  #follow(status: Status): void {
    this.listener.status({ ...status, stream: 'follower' })
  }

  #event(name: keyof Events, data: string, id: string): void {
    this.#cursor = { id, key: this.#stream?.cursor.key ?? '' }
    this.#post({ is: 'event', from: this.#id, name, data, cursor: this.#cursor })
    this.#tell(name, data)
  }

  #tell(name: keyof Events, data: string): void {
    const event = JSON.parse(data) as Events[typeof name]
    if (name === 'hello') {
      this.#hello = data
      const served = new Set(Object.values((event as Hello).symbols))
      for (const symbol of this.#newest.keys()) if (!served.has(symbol)) this.#newest.delete(symbol)
    } else if (name === 'message' && this.#channel && this.group.mode === 'latest') {
      this.#newest.set((event as Events['message']).symbol, data)
    }
    this.listener.event(name, event, this.#cursor.id)
    const notice = name === 'notice' ? (event as Notice) : null
    if (notice?.code === 'symbols' && this.#hello) this.#tell('hello', JSON.stringify(afterChange(JSON.parse(this.#hello) as Hello, notice)))
  }

  /** What an open stream does not bring applies at once; what it brings too much goes a while later. */
  #wishesChanged(): void {
    if (this.#cancelGather) return
    if (!this.#applied || !covers(this.#applied, this.#all())) this.#apply()
    else this.#cancelShrink ??= this.platform.after(SHRINK_MS, () => this.#apply())
  }

  #all(): Wish {
    return merge([this.#wish, ...this.#wishes.values()])
  }

  #apply(): void {
    this.#cancelShrink?.()
    this.#cancelShrink = null
    this.#applied = this.#all()
    this.#stream?.want(this.#applied)
  }

  #post(word: Word): void {
    this.#channel?.postMessage(word)
  }
}
