// The dashboard, put together: the list of symbols and who must hear of a change in it, and the clock that all share.

import { $, ask, encode, jitter, put, say, still } from './text.js';
import { address } from './address.js';
import { SYMBOLS_MAX, add, drop, hooks, rename, restyle, rows, touch } from './table.js';
import { Stream } from './stream.js';
import { Latency } from './latency.js';
import { Tabs } from './tabs.js';
import { builder } from './builder.js';
import { past } from './candles.js';
import { chart } from './chart.js';
import { detail } from './detail.js';
import { feeds } from './feeds.js';
import { health, note } from './health.js';
import { search } from './search.js';

const SYMBOLS_DEFAULT = 20, CATALOGUE_MS = [1000, 30000], NARROW = matchMedia('(max-width: 1099px)');

const names = new Map();          // the catalogue's entry by symbol, as far as we have seen it
const latency = new Latency();
let countOfAll = null, serverOffset = 0, chosen = null;

const stream = new Stream(() => ({ symbols: [...rows.keys()], throttle: address.throttle }), {
  state() {
    health.state();
    if (stream.cold && !wasCold) for (const row of rows.values()) row.history.lose(Date.now());
    if (stream.cold !== wasCold) { wasCold = stream.cold; for (const row of rows.values()) row.relabel(); restyle(); chart.touch(); }
    title();
  },
  hello(hello) {
    if (Number.isFinite(hello.time)) serverOffset = hello.time - Date.now();
    put($('server'), typeof hello.server === 'string' ? hello.server : '');
    const renamed = learnNames(hello);
    builder.granted(Number.isFinite(hello.throttle_ms) ? hello.throttle_ms : null);
    const first = Object.values(hello.symbols ?? {})[0];
    if (first) latency.measure(first);
    return renamed;
  },
  message(message, first) {
    const row = rows.get(message.symbol);
    row?.take(message, first);
    latency.take(message.sent_us);
  },
  event: note,
  opened(open) { if (tabs) tabs.open = open; },
});
let wasCold = false, tabs = null;
tabs = new Tabs(() => stream.pause());

// What was before the page: seconds for the chart, a few minutes for a sparkline.
hooks.seen = row => past.want(row, row === chosen ? 2 : 1, serverOffset, () => { row.redraw(); if (row === chosen) chart.touch(); });
chart.changed = () => showList();
hooks.pick = symbol => { choose(symbol, true); if (NARROW.matches) $('detail').scrollIntoView({ block: 'start', behavior: still.matches ? 'auto' : 'smooth' }); };
hooks.remove = remove;
hooks.painted = (row, at) => detail.paint(row, at);
hooks.serverNow = () => Date.now() + serverOffset;
hooks.isCold = () => stream.cold;

// ---------------------------------------------------------------------------------------------- the list of symbols

/** Shows a symbol in large. By hand it goes into the address as well. */
function choose(symbol, byHand = false) {
  const row = rows.get(symbol) ?? null;
  if (chosen !== row) { chosen?.choose(false); row?.choose(true); }
  chosen = row;
  if (row?.latest) hooks.seen(row);
  if (byHand) address.chart = row ? symbol : null;
  detail.show(row, names.get(row?.symbol));
  showList();
  title();
}

function remove(symbol) {
  const row = rows.get(symbol), beside = row.tr.nextElementSibling ?? row.tr.previousElementSibling, wasRemove = document.activeElement?.classList.contains('remove');
  drop(symbol);
  (beside?.querySelector(wasRemove ? '.remove' : '.pick') ?? $('query')).focus();
  say(`${symbol} removed`);
  if (row === chosen) { address.chart = null; choose(beside?.dataset.symbol ?? null); }
  listChanged();
}

function addByHand(symbol) {
  const isNew = add(symbol), row = rows.get(symbol);
  if (!row) { say(`No more than ${SYMBOLS_MAX} symbols`); return; }
  describe(row);
  row.tr.scrollIntoView({ block: 'nearest', behavior: still.matches ? 'auto' : 'smooth' });
  if (!still.matches) row.tr.animate([{ backgroundColor: 'var(--sunk)' }, { backgroundColor: 'transparent' }], 1200);
  say(isNew ? `${symbol} added` : `${symbol} is in the list already`);
  if (isNew) listChanged();
  if (!chosen) choose(symbol);
}

function listChanged() {
  address.symbols = [...rows.keys()];
  showList();
  stream.wishChanged();
}

/** Brings what depends on the list up to date: the address, the count, the lines to copy. */
function showList() {
  const symbols = [...rows.keys()];
  address.write(symbols, encode);
  put($('count'), `${rows.size}${countOfAll ? ` of ${countOfAll}` : ''} symbol${(countOfAll ?? rows.size) === 1 ? '' : 's'}`);
  const loaded = address.symbols !== null || countOfAll !== null;
  $('empty').hidden = rows.size > 0 || !loaded;
  $('prices').hidden = rows.size === 0 && loaded;
  builder.list(symbols, chosen?.symbol ?? symbols[0] ?? null);
}

function describe(row) {
  row.describe(names.get(row.symbol)?.name ?? '');
  if (row === chosen) detail.show(row, names.get(row.symbol));
}

/** Keeps the catalogue's entries of an answer, and returns them. */
function learn(answer) {
  const found = (Array.isArray(answer.symbols) ? answer.symbols : []).filter(entry => typeof entry?.symbol === 'string');
  for (const entry of found) {
    names.set(entry.symbol, entry);
    const row = rows.get(entry.symbol);
    if (row) describe(row);
  }
  return found;
}

/** What `hello` says of our names: `xbt` is `BTC`, `FOO` is nothing. Returns whether any changed. */
function learnNames(hello) {
  let renamed = false;
  for (const [asked, symbol] of Object.entries(hello.symbols ?? {})) {
    if (asked === symbol || typeof symbol !== 'string' || !rows.has(asked)) continue;
    renamed = true;
    const wasChosen = rows.get(asked) === chosen;
    rename(asked, symbol);
    if (wasChosen) choose(symbol);
  }
  if (renamed) {
    if (address.symbols !== null) address.symbols = [...rows.keys()];
    showList();
    nameTheRest();
  }
  for (const entry of Array.isArray(hello.rejected) ? hello.rejected : []) {
    const row = rows.get(entry?.symbol);
    if (!row) continue;
    row.mark('unknown');
    const near = Array.isArray(entry.suggestions) && entry.suggestions.length ? `did you mean ${entry.suggestions.join(', ')}?` : '';
    row.describe(near || 'not in the catalogue');
  }
  return renamed;
}

/** Loads the catalogue: names for the rows and, where the address names no symbols, the rows themselves. */
async function loadCatalogue(attempt = 0) {
  try {
    const answer = await ask(`symbols?limit=${address.symbols !== null || address.wantsAll ? SYMBOLS_MAX : SYMBOLS_DEFAULT}`);
    const found = learn(answer);
    countOfAll = Number.isInteger(answer.total) ? answer.total : found.length;
    if (address.symbols === null || address.wantsAll) {
      for (const { symbol } of address.wantsAll ? found : found.slice(0, SYMBOLS_DEFAULT)) { add(symbol); describe(rows.get(symbol)); }
      address.wantsAll = false;
      if (!chosen) choose(rows.has(address.chart) ? address.chart : rows.keys().next().value);
      stream.open();
    }
    showList();
    nameTheRest();
  } catch (error) {
    if (!rows.size) note('fault', `The catalogue could not be loaded: ${error.message}`);
    setTimeout(loadCatalogue, jitter(Math.min(CATALOGUE_MS[1], CATALOGUE_MS[0] * 2 ** attempt)), attempt + 1);
  }
}

/** In a catalogue too long for one answer, asks for the few names that the table still lacks. */
async function nameTheRest() {
  for (const symbol of [...rows.keys()].filter(s => !names.has(s)).slice(0, 20)) {
    try { learn(await ask(`symbols?query=${encode(symbol)}&limit=5`)); } catch { return; }
  }
}

// ---------------------------------------------------------------------------------------------- the clock

/** The tab's title: the chosen price, or that it is not current. */
function title() {
  const price = chosen?.price, trouble = stream.cold ? 'reconnecting' : chosen && !['live', 'waiting', 'degraded'].includes(chosen.status) ? chosen.status : '';
  const arrow = { up: '▲ ', down: '▼ ' }[chosen?.move] ?? '';
  const text = price ? `${trouble ? `(${trouble}) ` : arrow}${price} ${chosen.symbol} · tickcast` : 'tickcast · live prices';
  if (document.title !== text) document.title = text;
}

let ticked = performance.now();
setInterval(() => {
  const elapsed = performance.now() - ticked;
  ticked += elapsed;
  stream.watch();
  health.count();
  // No frame comes in a tab that nobody sees; its title is all there is to see.
  if (document.hidden && chosen?.latest) chosen.paint(performance.now());
  title();
  if (document.hidden) return;
  health.figures(elapsed);
  if (stream.kind === 'live' && chosen) latency.measure(chosen.symbol);
  for (const row of rows.values()) touch(row);
}, 1000);
document.addEventListener('visibilitychange', () => { if (!document.hidden) for (const row of rows.values()) touch(row); });

// ---------------------------------------------------------------------------------------------- start

$('all').addEventListener('click', () => { address.symbols = null; loadCatalogue(); $('query').focus(); });
search.start(learn, addByHand);
builder.start(() => { address.write([...rows.keys()], encode); stream.wishChanged(); });
detail.start();
feeds.start();
health.start(stream, latency);
restyle();
for (const symbol of address.wantsAll ? [] : address.symbols ?? []) add(symbol);
if (rows.size) choose(rows.has(address.chart) ? address.chart : rows.keys().next().value);
showList();
// The list is known: prices need not wait for names.
if (address.symbols !== null && !address.wantsAll) stream.open(); else health.state();
loadCatalogue();
