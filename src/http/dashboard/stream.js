// The page's one stream: opened, watched, reopened. It knows symbols and events, nothing of the screen.

import { duration, encode, jitter, now, parse } from './text.js';

/** What the table shows, and when the message was made: for the latency. */
const FIELDS = 'symbol,price,bid,ask,spread,change,change_pct,status,time,sent_us';
const SETTLE_MS = 300;            // a change of the list waits this long for the next one before a stream is opened
const BACKOFF_MS = [1000, 30000]; // our own reopening; the browser's own follows the server's `retry`
const REFUSED_MS = 20000;         // after a 4xx: what was asked for is wrong, or a proxy in front of us is
const SILENT_HEARTBEATS = 2.5;
const ANSWER_MS = 30000;          // no stream after this long: start over
const QUICK_MS = 5000, QUICK = 3; // the first few times sooner: hello comes at once
const PROBES = 6, PROBE_MS = 2000;
const LATE_MS = 4000;             // a timer this late was held up: by a background tab, or by a laptop's sleep
const WAKE_MS = 5000;             // after which a stream that lives has said something

const REASONS = {
  rate_limited: 'too many streams were opened from here in a minute', too_many_streams: 'too many streams are open from here',
  overloaded: 'the server has no room for another stream', draining: 'the server is stopping or restarting',
};
/** A server's code as people say it. */
export const words = code => typeof code === 'string' && code ? REASONS[code] ?? code.replaceAll('_', ' ') : 'no reason given';

/**
 * `on` is told: `state()`, `hello(hello, renamed)`, `message(message, first)`, `event(kind, text)` for the log, `opened(open)`.
 * States: idle, connecting, live, waiting (reconnects by itself), ended (the server said so), paused (in the background).
 */
export class Stream {
  kind = 'connecting'; why = ''; until = null; cold = false;
  cursor = ''; received = 0; reconnects = 0; heartbeat = 0; throttle = null; since = null; resumed = false; alive = now();
  #source = null; #key = ''; #cursorKey = ''; #cursorKeyNext = ''; #attempts = 0; #failed = false; #said = ''; #told = ''; #retryMs = null; #lostAt = null; #timer = 0; #settling = 0;
  #seen = new Set(); #ticked = [now(), Date.now()];

  /** `wish` returns what to follow: `{symbols, throttle}`, the throttle in ms or null. */
  constructor(wish, on) {
    this.wish = wish;
    this.on = on;
    addEventListener('online', () => { if (!this.#source && this.kind !== 'paused') this.open(); });
    addEventListener('pagehide', () => this.close());
    addEventListener('pageshow', event => { if (event.persisted) this.open(); });
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) return;
      if (this.kind === 'paused') this.open(); else this.watch();
    });
  }

  get isOpen() { return this.#source !== null; }

  /** Opens it anew; with a cursor only where that belongs to the same symbols. */
  open() {
    this.close();
    const { symbols, throttle } = this.wish();
    this.#key = keyOf(symbols, throttle);
    if (!symbols.length) { this.#lostAt = null; this.#state('idle'); return; }
    const parts = [`symbols=${symbols.map(encode).join(',')}`, `fields=${FIELDS}`];
    if (throttle !== null) parts.push(`throttle=${throttle}`);
    if (this.cursor && this.#cursorKey === keyOf(symbols, null)) parts.push(`last_event_id=${encode(this.cursor)}`);
    const source = this.#source = new EventSource(`prices?${parts.join('&')}`);
    this.#cursorKeyNext = keyOf(symbols, null);
    this.#failed = false;
    this.#state('connecting');
    this.on.opened(true);
    this.alive = now();
    const on = (name, then) => source.addEventListener(name, event => {
      if (source !== this.#source) return;
      this.alive = now();
      if (event.lastEventId) { this.cursor = event.lastEventId; this.#cursorKey = this.#cursorKeyNext; }
      then(parse(event.data));
    });
    on('message', message => {
      this.received++;
      const first = !this.#seen.has(message.symbol);
      if (first) this.#seen.add(message.symbol);
      this.on.message(message, first);
      if (this.kind !== 'live' || this.#attempts) { this.#attempts = 0; this.#live(); }
    });
    on('hello', hello => this.#hello(hello));
    on('hb', () => { this.#attempts = 0; });
    on('notice', notice => this.on.event('notice', textOf(notice)));
    on('gap', gap => this.on.event('gap', `Some messages were lost: ${textOf(gap)}`));
    on('bye', bye => this.#ending('bye', `The server ended the stream: ${words(bye.reason)}.`, bye.retry_ms));
    on('fault', fault => {
      const limit = Number.isFinite(fault.limit) ? ` (limit ${fault.limit}${typeof fault.scope === 'string' ? ` per ${fault.scope}` : ''})` : '';
      this.#ending('fault', `The server refused the stream: ${words(fault.code)}${limit}.`, fault.retry_ms);
    });
    source.onerror = () => {
      if (source !== this.#source) return;
      this.alive = now();
      this.#failed = true;
      this.#lost();
      // The browser comes back by itself, after the server's `retry` and with Last-Event-ID, unless it gave up.
      if (source.readyState === EventSource.CLOSED) this.#refused();
      else this.#state('waiting', this.#retryMs, this.#said || 'The connection was lost.');
      this.#retryMs = null;
    };
  }

  close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#settling);
    this.#settling = 0;
    this.#source?.close();
    this.#source = null;
    this.on.opened(false);
  }

  /** Gives the connection back until the page is seen again. */
  pause() {
    this.close();
    this.#state('paused', null, 'Paused in the background, to leave connections for the tabs that are seen.');
  }

  /** What is followed may have changed. */
  wishChanged() {
    clearTimeout(this.#settling);
    this.#settling = 0;
    const { symbols, throttle } = this.wish();
    if (keyOf(symbols, throttle) !== this.#key && this.kind !== 'paused') {
      this.#settling = setTimeout(() => { this.#said = ''; this.#attempts = 0; this.open(); }, SETTLE_MS);
    }
  }

  /** Once a second, and when the page is seen again: reopens what has gone quiet. */
  watch() {
    const ticked = [now(), Date.now()], [elapsed, wall] = ticked.map((at, i) => at - this.#ticked[i]);
    this.#ticked = ticked;
    if (!this.#source) return;
    const open = this.#source.readyState === EventSource.OPEN;
    const limit = open ? this.heartbeat * SILENT_HEARTBEATS : this.#answerMs();
    if (!limit) return;
    const lastCall = now() - limit + WAKE_MS;
    // A clock that stood still was asleep: what has not spoken by the last call is gone, whatever the system says.
    if (open && wall - elapsed > LATE_MS) { this.alive = Math.min(this.alive, lastCall); this.on.event('wake', `The clock jumped by ${duration(wall - elapsed)}: waiting for a sign of life.`); }
    // A page that was frozen, or whose timers are slowed down, reads what is queued first.
    if (elapsed > LATE_MS) this.alive = Math.max(this.alive, lastCall);
    const quiet = now() - this.alive;
    if (quiet <= limit) return;
    probe();
    this.#reopen(open ? `No sign of life for ${duration(quiet)}.` : 'The server does not answer.', PROBE_MS);
  }

  /** How long an attempt may take. The browser's own attempts first wait for the server's `retry`, which nobody tells us. */
  #answerMs() {
    const most = !this.#failed && this.#attempts <= QUICK ? QUICK_MS : ANSWER_MS;
    return Math.max(most, (this.until ?? 0) - this.alive + most);
  }

  #lost() {
    this.#lostAt ??= now();
  }

  /** Closes and opens again after a while, the longer the oftener it failed. */
  #reopen(why, leastMs = 0) {
    this.#lost();
    const ceiling = Math.min(BACKOFF_MS[1], BACKOFF_MS[0] * 2 ** this.#attempts++), delay = Math.max(leastMs, 0) + jitter(ceiling);
    this.close();
    this.#said = why;
    this.#timer = setTimeout(() => this.open(), delay);
    this.#state('waiting', delay, why);
  }

  /** The browser gave up for good: a status other than 200. An EventSource does not say which, the snapshot does. */
  async #refused() {
    const mine = this.#source, said = this.#said;
    this.#reopen(said || 'The server refused the stream.', this.#retryMs ?? 0);
    const timer = this.#timer;
    try {
      const symbols = this.wish().symbols.map(encode).join(',');
      const answer = await fetch(`prices/snapshot?symbols=${symbols}`, { signal: AbortSignal.timeout(5000) });
      const problem = answer.ok ? {} : await answer.json();
      if (typeof problem.detail === 'string' && !said && this.#timer === timer && mine !== this.#source && !this.#source) {
        // Waiting rarely helps here; another list does, and that opens a stream at once.
        const delay = Math.max(this.until - now(), answer.status < 500 ? jitter(REFUSED_MS) : 0);
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.open(), delay);
        this.on.event('fault', problem.detail);
        this.#state('ended', delay, `The server refused the stream: ${problem.detail}`);
      }
    } catch { /* unreachable, or not a problem document: the first reason stands */ }
  }

  #hello(hello) {
    this.heartbeat = Number.isFinite(hello.heartbeat_ms) ? hello.heartbeat_ms : 0;
    this.throttle = Number.isFinite(hello.throttle_ms) ? hello.throttle_ms : null;
    this.resumed = hello.resumed === true;
    this.#seen.clear();
    const pending = this.#settling !== 0;
    const renamed = this.on.hello(hello);
    // Names as asked became the catalogue's: the same list.
    if (renamed && !pending) {
      const { symbols, throttle } = this.wish();
      this.#key = keyOf(symbols, throttle);
      this.#cursorKey = this.#cursorKeyNext = keyOf(symbols, null);
    }
    const count = Object.keys(hello.symbols ?? {}).length, rejected = Array.isArray(hello.rejected) ? hello.rejected.length : 0;
    this.on.event('hello', `${count} symbol${count === 1 ? '' : 's'}${rejected ? `, ${rejected} rejected` : ''}, throttle ${shownMs(this.throttle)}, heartbeat ${shownMs(this.heartbeat)}, ${this.resumed ? 'resumed where it stopped' : 'everything anew'}`);
    this.#live();
  }

  #live() {
    const lost = this.#lostAt === null ? null : now() - this.#lostAt;
    this.#lostAt = null; this.#said = ''; this.#retryMs = null;
    this.since = Date.now();
    if (lost !== null) this.reconnects++;
    this.#state('live');
    if (lost !== null) this.on.event('back', `Reconnected after ${duration(Math.max(1000, lost))}${this.resumed ? ', resumed where it stopped' : ''}`);
  }

  #ending(kind, why, retryMs) {
    this.#said = why;
    this.#retryMs = Number.isFinite(retryMs) ? retryMs : null;
    this.#lost();
    this.#told = why;
    this.on.event(kind, why);
    this.#state('ended', null, why);
  }

  #state(kind, inMs = null, why = '') {
    const changed = kind !== this.kind || why !== this.why;
    this.kind = kind;
    this.until = inMs === null ? null : now() + inMs;
    this.why = kind === 'connecting' ? this.#said : why;
    // A stream that replaces another because the list changed is no interruption.
    this.cold = kind !== 'live' && !(kind === 'connecting' && this.#lostAt === null);
    if (changed && kind === 'paused') this.on.event('pause', this.why);
    // A loss that `bye` or `fault` announced is told already.
    if (changed && kind === 'waiting' && this.why !== this.#told) this.on.event('lost', this.why);
    if (kind === 'live') this.#told = '';
    this.on.state();
  }
}

/**
 * Makes the browser let go of connections that died with the stream's: it keeps up to six, and would try one after the
 * other. A request that is given up closes its connection.
 */
function probe() {
  for (let i = 0; i < PROBES; i++) fetch('health/live', { cache: 'no-store', signal: AbortSignal.timeout(PROBE_MS) }).catch(() => {});
}

const keyOf = (symbols, throttle) => `${[...symbols].sort().join(',')} ${throttle ?? ''}`;
const shownMs = ms => ms === null ? '?' : ms % 1000 ? `${ms} ms` : `${ms / 1000} s`;
const textOf = data => words(['message', 'detail', 'text', 'reason', 'code'].map(k => data[k]).find(v => typeof v === 'string') ?? JSON.stringify(data));
