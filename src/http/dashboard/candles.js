// Bars of `GET /candles`: what was before this page was opened, and the candles of the chosen symbol. They are asked for, not
// streamed: `candles=` would bring those of every symbol in the list, and one is looked at.

import { ask, encode, now } from './text.js';

const MINUTE = 60_000, BARS_MAX = 300, SPARK_BARS = 6, LINE_BARS = 16;
const POLL_MS = 1000, RETRY_MS = 5000;

const load = async (symbol, interval, limit) => {
  const answer = await ask(`candles?symbol=${encode(symbol)}&interval=${interval}&limit=${limit}`);
  return { ...answer, candles: Array.isArray(answer.candles) ? answer.candles : [] };
};

/** Lets the rows' histories begin before the page did: a few minutes for those that are seen, seconds for the chosen one. */
export const past = {
  queue: new Map(), busy: false, off: false,

  /** `offset` is the server's clock less ours. */
  want(row, level, offset, done) {
    if (this.off || (row.past ?? 0) >= level) return;
    row.past = level;
    this.queue.set(row, { level, offset, done });
    this.next();
  },

  async next() {
    if (this.busy || !this.queue.size) return;
    this.busy = true;
    // The chosen one first; one request at a time, since a browser has few connections.
    const [row, { level, offset, done }] = [...this.queue].sort((a, b) => b[1].level - a[1].level)[0];
    this.queue.delete(row);
    try {
      const minutes = await load(row.symbol, '1m', level === 2 ? LINE_BARS : SPARK_BARS);
      row.history.precede(points(minutes.candles, MINUTE, offset));
      if (level === 2) row.history.precede(points((await load(row.symbol, '1s', BARS_MAX)).candles, 1000, offset));
      done();
    } catch (error) {
      // A server that keeps none says so to each.
      this.off = / 400$/.test(error.message);
    }
    this.busy = false;
    this.next();
  },
};

/** As a history keeps them: at their last second, since that is what their close is the price of. */
const points = (candles, length, offset) => candles.map(candle => ({
  at: Math.floor((candle.time + length - 1000 - offset) / 1000) * 1000, past: true, coarse: length > 1000, value: Number(candle.close), text: candle.close,
  low: Number(candle.low), lowText: candle.low, high: Number(candle.high), highText: candle.high,
}));

/** The candles of one symbol and interval, kept current while they are looked at. */
export class Candles {
  bars = []; state = 'idle'; alignment = ''; #symbol = null; #interval = null; #timer = 0; #asked = 0;

  /** `changed` is called after each answer. */
  constructor(changed) { this.changed = changed; }

  /** Begins with another symbol or interval; null for none. */
  show(symbol, interval) {
    if (symbol === this.#symbol && interval === this.#interval) return;
    this.#symbol = symbol; this.#interval = interval;
    this.bars = []; this.state = 'loading';
    this.#ask();
  }

  /** Asks anew at once, such as when the page is seen again. */
  wake() { if (this.#symbol && now() - this.#asked >= POLL_MS) this.#ask(); }

  async #ask() {
    clearTimeout(this.#timer);
    const [symbol, interval] = [this.#symbol, this.#interval];
    if (!symbol || !interval || document.hidden) return;
    this.#asked = now();
    let wait = POLL_MS;
    try {
      // What is known already only goes on: the open bar, and those that ended since the last look.
      const few = this.bars.length > 0, answer = await load(symbol, interval, few ? 3 : BARS_MAX);
      if (symbol !== this.#symbol || interval !== this.#interval) return;
      if (!this.#take(answer.candles, few)) { this.bars = []; wait = 0; }
      this.alignment = answer.alignment;
      this.state = 'there';
    } catch (error) {
      if (symbol !== this.#symbol || interval !== this.#interval) return;
      if (!this.bars.length) this.state = `not available: ${error.message}`;
      wait = RETRY_MS;
    }
    this.changed();
    this.#timer = setTimeout(() => this.#ask(), wait);
  }

  /** Returns whether what came goes on where we were. */
  #take(candles, few) {
    if (!few) { this.bars = candles; return true; }
    const last = this.bars.at(-1), first = candles[0];
    // After a restart there are others; after a long sleep there is a hole.
    if (!first || candles.at(-1).time < last.time || first.time > last.time) return false;
    this.bars = [...this.bars.filter(bar => bar.time < first.time), ...candles].slice(-BARS_MAX);
    return true;
  }
}
