// The chosen symbol: its price in large, what is wrong with it, the chart, and on demand who says what (`sources`, asked for
// by snapshots: the page's stream does not carry them).

import { $, ask, clock, compare, duration, encode, make, precise, put, shown, still } from './text.js';
import { flashOf, iconOf, palette } from './table.js';
import { chart } from './chart.js';

const SOURCES_MS = 2000, FLASH_GAP_MS = 400;

/** A part in the price, as people say it. */
const PARTS = {
  used: 'makes the price', standby: 'in reserve: one that is preferred is fresh', settling: 'is back, but not yet fresh for long enough', outlier: 'left out: too far from the others',
  stale: 'left out: its newest tick is too old', down: 'left out: its connection is down', no_price: 'left out: no price yet',
};
const TROUBLES = {
  stale: 'Stale: not a current price. No fresh tick from any source', degraded: 'Degraded: fewer good sources than wanted', halted: 'Halted: trading is stopped', closed: 'Closed: the market rests',
};

export const detail = {
  row: null, status: '', flashed: 0, price: null, entry: null,

  start() {
    chart.start();
    $('sources').addEventListener('toggle', () => this.ask());
    document.addEventListener('visibilitychange', () => { if (!document.hidden) { this.ask(); chart.touch(); } });
  },

  show(row, entry) {
    this.entry = entry;
    const other = row !== this.row;
    this.row = row;
    $('detail').classList.toggle('nobody', !row);
    put($('d-symbol'), row?.symbol ?? 'No symbol chosen');
    put($('d-name'), row ? entry?.name ?? '' : 'Choose one from the list');
    put($('d-kind'), [entry?.class, entry?.currency].filter(Boolean).join(' · '));
    if (!other) return;
    this.price = null; this.status = '';
    delete $('d-tape').dataset.move;
    $('source-rows').replaceChildren();
    $('chart').removeAttribute('aria-valuetext');
    $('chart').setAttribute('aria-label', row ? `Chart of ${row.symbol}: the arrow keys read it` : 'Chart');
    chart.show(row);
    if (row) this.paint(row, performance.now());
    this.ask();
  },

  /** Called in the frame that painted the row. */
  paint(row, at) {
    if (row !== this.row) return;
    const message = row.latest ?? {}, price = message.price ?? null, move = compare(price, this.price);
    put($('d-price'), shown(price));
    $('detail').classList.toggle('long', (price?.length ?? 0) > 9);
    if (move && this.price !== null) {
      const word = move > 0 ? 'up' : 'down', tape = $('d-tape');
      tape.dataset.move = word;
      if (!still.matches && at - this.flashed > FLASH_GAP_MS) { this.flashed = at; tape.animate(flashOf(word), 700); }
    }
    this.price = price;
    const sign = compare(message.change, '0'), change = $('d-change');
    put(change, message.change === null || message.change === undefined ? '–' : `${sign > 0 ? '+' : ''}${message.change} (${sign > 0 ? '+' : ''}${shown(message.change_pct)}%)`);
    change.dataset.sign = { 1: 'up', 0: '', [-1]: 'down' }[sign];
    put($('d-bid'), shown(message.bid));
    put($('d-ask'), shown(message.ask));
    put($('d-spread'), shown(message.spread));
    put($('d-time'), Number.isFinite(message.time) ? clock(message.time) : '');
    put($('d-age'), row.since === null ? '–' : `${duration(at - row.since)} ago`);
    this.mark(row, at);
    chart.touch();
  },

  mark(row, at) {
    const trouble = row.status === 'unknown' ? 'The catalogue does not have this symbol' : TROUBLES[row.status] ?? '';
    $('d-trouble').hidden = !trouble;
    if (trouble) put($('d-trouble-age'), row.since === null || row.status === 'unknown' ? '' : ` for ${duration(at - row.since)}`);
    if (row.status === this.status) return;
    this.status = row.status;
    $('detail').dataset.status = row.status;
    $('d-trouble').dataset.status = row.status;
    put($('d-trouble-text'), trouble);
    $('d-trouble-icon').setAttribute('href', iconOf(row.status));
  },

  /** Asks who made the price, again and again while somebody looks. */
  async ask() {
    clearTimeout(this.timer);
    const row = this.row;
    if (!$('sources').open || document.hidden || !row) return;
    try {
      const answer = await ask(`prices/snapshot?symbols=${encode(row.symbol)}&fields=price,venue,sources`);
      if (row === this.row) this.list(answer.prices?.[0] ?? {});
    } catch (error) { put($('sources-note'), `not available: ${error.message}`); }
    clearTimeout(this.timer);
    if (row === this.row) this.timer = setTimeout(() => this.ask(), SOURCES_MS);
  },

  list(message) {
    const sources = Array.isArray(message.sources) ? message.sources : [], used = sources.filter(source => source.used).length;
    put($('sources-note'), `${used} of ${sources.length} used`);
    const lines = sources.map(source => {
      const part = source.used ? 'used' : source.reason, tr = make('tr', source.used ? 'used' : 'unused');
      tr.append(make('td', '', make('b', '', shown(source.venue)), make('small', '', PARTS[part] ?? shown(part))), make('td', 'n', shown(source.price)),
        make('td', 'n', Number.isFinite(source.age_ms) ? precise(source.age_ms) : '–'));
      return tr;
    });
    $('source-rows').replaceChildren(...lines);
  },
};

chart.isCold = () => !palette() || document.body.classList.contains('cold');
