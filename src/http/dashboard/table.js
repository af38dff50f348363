// The watch list: a row a symbol. Messages only mark a row; what they mean for the screen waits for the next frame, and a
// frame that has taken long enough leaves the rest to the one after it.

import { $, compare, duration, now, put, shown, still } from './text.js';
import { History, SECOND, barsEach, extent, trace } from './history.js';

export const SYMBOLS_MAX = 1000;
/** Rows out of view are painted too, since a screen reader or a search in the page may be reading them, but some at a time. */
const FRAME_MS = 6, UNSEEN_MS = 250, UNSEEN_ROWS = 24;
const SPARK_MS = 500, SPARK_SPAN = 5 * 60 * SECOND, SPARK_SPAN_LEAST = 20 * SECOND;
const FLASH_MS = 700, FLASH_GAP_MS = 400;

/** By symbol, in the order of the list. */
export const rows = new Map();
/** What the table asks others: set by the app. */
export const hooks = { pick() {}, remove() {}, painted() {}, seen() {}, serverNow: Date.now, isCold: () => false };

const dirty = new Set();
let frameAsked = false, unseenAt = 0, unseenTimer = 0, colours = null;
const spark = { width: 0, height: 0 };
const inView = new IntersectionObserver(entries => {
  for (const entry of entries) {
    const row = rows.get(entry.target.dataset.symbol);
    if (row) { row.inView = entry.isIntersecting; touch(row); }
  }
}, { rootMargin: '200px' });

class Row {
  status = 'waiting'; price = null; latest = null; move = ''; since = null; chosen = false; inView = true; painted = 0; history = new History();
  #fresh = false; #time = null; #drawn = 0; #flashed = -FLASH_GAP_MS; #flashedMove = ''; #flashing = null; #cells;

  constructor(symbol) {
    const tr = $('row').content.firstElementChild.cloneNode(true), $$ = selector => tr.querySelector(selector);
    this.tr = tr;
    this.#cells = {
      pick: $$('.pick'), symbol: $$('.pick b'), name: $$('.pick span'), badge: $$('.badge'), icon: $$('.badge use'), word: $$('.badge span'), price: $$('.tape b'), tape: $$('.tape'),
      arrow: $$('.arrow'), change: $$('.change b'), pct: $$('.change span'), bid: $$('.bid b'), ask: $$('.ask b'), spread: $$('.spread b'), age: $$('.age'), canvas: $$('canvas'), remove: $$('.remove'),
    };
    this.#cells.remove.addEventListener('click', event => { event.stopPropagation(); hooks.remove(this.symbol); });
    tr.addEventListener('click', () => hooks.pick(this.symbol));
    tr.addEventListener('keydown', event => this.#key(event));
    this.rename(symbol);
  }

  rename(symbol) {
    this.symbol = symbol;
    this.tr.dataset.symbol = symbol;
    this.#cells.symbol.textContent = symbol;
    this.#cells.remove.setAttribute('aria-label', `Remove ${symbol}`);
    this.#cells.remove.title = `Remove ${symbol}`;
  }

  describe(text) { put(this.#cells.name, text); this.#cells.pick.title = text; }

  choose(chosen) {
    this.chosen = chosen;
    this.tr.classList.toggle('chosen', chosen);
    this.#cells.pick.setAttribute('aria-pressed', String(chosen));
    touch(this);
  }

  focus() { this.#cells.pick.focus(); }

  #key(event) {
    const beside = { ArrowDown: this.tr.nextElementSibling, ArrowUp: this.tr.previousElementSibling }[event.key];
    if (beside) { event.preventDefault(); beside.querySelector(event.target.closest('.remove') ? '.remove' : '.pick').focus(); }
    if (event.key === 'Delete') { event.preventDefault(); hooks.remove(this.symbol); }
  }

  /** Takes a message. The first one of a stream may be an old price: its age is what its own time says. */
  take(message, first) {
    const at = now();
    // A flip of the status or a repeat moves no price: the age goes on.
    if (message.time !== this.#time || this.since === null) {
      this.since = at - (first && Number.isFinite(message.time) ? Math.max(0, hooks.serverNow() - message.time) : 0);
      this.#time = message.time;
    }
    this.latest = message;
    this.#fresh = true;
    // A closed or halted market's price holds; a stale one is not known to.
    const stale = message.status === 'stale', wall = Date.now();
    if (!stale || !this.history.bars.length) this.history.add(wall, message.price ?? null, barsEach(rows.size));
    if (stale) this.history.lose(wall);
    if (this.inView) hooks.seen(this);
    touch(this);
  }

  paint(at) {
    const cells = this.#cells, message = this.latest;
    if (this.#fresh) {
      this.#fresh = false;
      const price = message.price ?? null, move = compare(price, this.price);
      put(cells.price, shown(price));
      this.tr.classList.toggle('long', (price?.length ?? 0) > 9);
      if (move && this.price !== null) {
        const word = move > 0 ? 'up' : 'down';
        if (this.move !== word) { this.move = this.tr.dataset.move = word; cells.arrow.setAttribute('aria-label', word); }
        if (this.inView) this.#flash(word, at);
      }
      this.price = price;
      for (const [cell, value] of [[cells.change, message.change], [cells.pct, message.change_pct]]) {
        put(cell, shown(value));
        cell.dataset.sign = { 1: 'up', 0: '', [-1]: 'down' }[compare(value, '0')];
      }
      put(cells.bid, shown(message.bid));
      put(cells.ask, shown(message.ask));
      put(cells.spread, shown(message.spread));
      this.mark(typeof message.status === 'string' ? message.status : 'live');
    }
    put(cells.age, this.since === null ? '–' : duration(at - this.since));
    if (this.inView && at - this.#drawn >= SPARK_MS) this.#draw(at);
  }

  mark(status) {
    if (status === this.status) return;
    this.status = status;
    this.#drawn = 0;
    this.tr.dataset.status = status;
    this.relabel();
  }

  /** While there is no stream nothing is live, whatever was said last. */
  relabel() {
    const wasLive = hooks.isCold() && (this.status === 'live' || this.status === 'degraded'), status = wasLive ? 'waiting' : this.status;
    this.#cells.badge.dataset.status = status;
    put(this.#cells.word, wasLive ? 'last seen' : status);
    this.#cells.icon.setAttribute('href', iconOf(status));
  }

  #flash(move, at) {
    // Never more than two and a half a second, however fast the price moves; and never the colour of the move before.
    const soon = still.matches || at - this.#flashed < FLASH_GAP_MS;
    if (!soon || move !== this.#flashedMove) this.#flashing?.cancel();
    if (soon) return;
    this.#flashed = at;
    this.#flashedMove = move;
    this.#flashing = this.#cells.tape.animate(flashOf(move), FLASH_MS);
  }

  redraw() { this.#drawn = 0; touch(this); }

  #draw(at) {
    this.#drawn = at;
    const { canvas } = this.#cells, scale = devicePixelRatio || 1, to = Date.now();
    const bars = this.history.since(to - SPARK_SPAN), range = extent(bars), pen = fit(canvas, spark.width, spark.height);
    if (!range) return;
    const width = spark.width * scale, height = spark.height * scale, pad = 3 * scale, low = range.low.low, high = range.high.high;
    const from = Math.max(to - SPARK_SPAN, Math.min(bars[0].at, to - SPARK_SPAN_LEAST)), first = bars.find(bar => bar.value !== null), last = bars.at(-1);
    const x = t => pad + Math.max(0, (t - from) / (to - from)) * (width - 2 * pad);
    const y = v => high === low ? height / 2 : pad + (1 - (v - low) / (high - low)) * (height - 2 * pad);
    const quiet = hooks.isCold() || (this.status !== 'live' && this.status !== 'degraded') || last.value === null || last.value === first.value;
    pen.lineWidth = 1.5 * scale; pen.lineJoin = 'round';
    pen.strokeStyle = pen.fillStyle = quiet ? colours.soft : last.value > first.value ? colours.up : colours.down;
    trace(pen, bars, x, y, to, (left, right) => {
      pen.stroke();
      pen.lineTo(right, height); pen.lineTo(left, height);
      pen.globalAlpha = .12; pen.fill(); pen.globalAlpha = 1;
    });
    if (last.value !== null) { pen.beginPath(); pen.arc(x(to), y(last.value), 2.2 * scale, 0, 7); pen.fill(); }
  }
}

export const iconOf = status => '#i-' + ($('i-' + status) ? status : 'unknown');
export const flashOf = move => [{ backgroundColor: `var(--${move}-soft)` }, { backgroundColor: `var(--${move}-soft)`, offset: .3 }, { backgroundColor: 'transparent' }];

/** Makes a canvas as sharp as the screen, clears it, and returns its pen. */
export function fit(canvas, cssWidth, cssHeight) {
  const scale = devicePixelRatio || 1, width = Math.round(cssWidth * scale), height = Math.round(cssHeight * scale);
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const pen = canvas.getContext('2d');
  pen.clearRect(0, 0, width, height);
  return pen;
}

/** Colours of the present theme, for canvases. */
export function palette() { return colours; }

export function touch(row) {
  dirty.add(row);
  askFrame();
}

function askFrame() {
  if (!frameAsked) { frameAsked = true; requestAnimationFrame(frame); }
}

function frame() {
  frameAsked = false;
  const at = now(), unseen = [];
  for (const row of dirty) {
    if (!row.inView && !row.chosen) { unseen.push(row); continue; }
    if (now() - at > FRAME_MS) { askFrame(); return; }
    show(row, at);
  }
  if (!unseen.length) return;
  const due = at - unseenAt >= UNSEEN_MS;
  if (due) {
    unseenAt = at;
    // The longest untouched first: every row gets its turn.
    for (const row of unseen.sort((a, b) => a.painted - b.painted).slice(0, UNSEEN_ROWS)) if (now() - at <= FRAME_MS) show(row, at);
  }
  if (!unseenTimer && (!due || unseen.length > UNSEEN_ROWS)) unseenTimer = setTimeout(() => { unseenTimer = 0; askFrame(); }, UNSEEN_MS);
}

function show(row, at) {
  dirty.delete(row);
  row.painted = at;
  row.paint(at);
  if (row.chosen) hooks.painted(row, at);
}

/** Reads sizes and colours anew. */
export function restyle() {
  const style = getComputedStyle(document.documentElement), canvas = document.querySelector('#rows canvas');
  const colour = name => style.getPropertyValue(`--${name}`).trim();
  colours = Object.fromEntries(['up', 'down', 'soft', 'line', 'text', 'card', 'sunk', 'accent', 'on-accent', 'warn'].map(name => [name, colour(name)]));
  if (canvas) { spark.width = canvas.clientWidth; spark.height = canvas.clientHeight; }
  for (const row of rows.values()) row.redraw();
}
addEventListener('resize', restyle);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', restyle);

export function add(symbol) {
  if (rows.has(symbol) || rows.size >= SYMBOLS_MAX) return false;
  const row = new Row(symbol);
  rows.set(symbol, row);
  $('rows').append(row.tr);
  inView.observe(row.tr);
  if (!spark.width) restyle();
  touch(row);
  return true;
}

export function drop(symbol) {
  const row = rows.get(symbol);
  rows.delete(symbol);
  dirty.delete(row);
  inView.unobserve(row.tr);
  row.tr.remove();
}

/** A name as it was asked for becomes the catalogue's; two names of one symbol become one row. */
export function rename(asked, symbol) {
  if (rows.has(symbol)) { drop(asked); return; }
  const list = [...rows];
  rows.clear();
  for (const [key, row] of list) rows.set(key === asked ? symbol : key, row);
  rows.get(symbol).rename(symbol);
}
