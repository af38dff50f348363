// What the page's address says, so that a view can be shared: symbols, chosen symbol, throttle, fields.

/** As the stream's contract orders them; the second part is for people. */
export const FIELDS = {
  symbol: 'catalogue name, always there', price: 'what it costs now', bid: 'best bid', ask: 'best ask', bid_size: 'size at the bid', ask_size: 'size at the ask',
  spread: 'ask less bid', mid: 'between bid and ask', last: 'last trade', last_size: 'its size', open: 'first of the day', high: 'highest of the day', low: 'lowest of the day',
  volume: 'traded in the day', prev_close: 'what change is against', change: 'since the previous close', change_pct: 'the same in percent', currency: 'what prices are in',
  class: 'crypto or stock', venue: 'who made the price', sources: 'every venue, and its part', session: 'where the market is in its day', status: 'live, stale, halted …',
  time: 'venue’s clock, ms', event_us: 'venue’s clock, µs', recv_us: 'received, µs', sent_us: 'encoded, µs', version: 'as in the id',
};
export const FIELDS_DEFAULT = ['symbol', 'price', 'bid', 'ask', 'change', 'change_pct', 'status', 'time'];
const NAME_MAX = 64, OURS = ['symbols', 'chart', 'interval', 'throttle', 'fields'];
/** What the chart may show candles of. */
export const INTERVALS = ['1m', '5m', '1h', '1d'];

const query = new URLSearchParams(location.search);
const list = name => query.getAll(name).join(',').split(',').map(text => text.trim()).filter(text => text && text.length <= NAME_MAX);

/** The view that the address asks for. `symbols` is null where it names none: then it is the catalogue's first ones. */
export const address = {
  symbols: query.has('symbols') ? list('symbols').filter(symbol => symbol !== '*') : null,
  wantsAll: list('symbols').includes('*'),
  chart: list('chart')[0] ?? null,
  /** Of the chart's candles; null means the line. */
  interval: INTERVALS.includes(query.get('interval')) ? query.get('interval') : null,
  /** Milliseconds; null leaves it to the server. */
  throttle: /^\d{1,7}$/.test(query.get('throttle') ?? '') ? Number(query.get('throttle')) : null,
  /** Null means the server's default. */
  fields: query.has('fields') ? list('fields').filter(name => name in FIELDS) : null,

  /** Writes it back; parameters that are not ours stay. */
  write(symbols, encode) {
    const other = new URLSearchParams(location.search);
    for (const name of OURS) other.delete(name);
    const parts = [];
    if (this.symbols !== null) parts.push(`symbols=${symbols.map(encode).join(',')}`);
    if (this.chart !== null) parts.push(`chart=${encode(this.chart)}`);
    if (this.interval !== null) parts.push(`interval=${this.interval}`);
    if (this.throttle !== null) parts.push(`throttle=${this.throttle}`);
    if (this.fields !== null) parts.push(`fields=${this.fields.join(',')}`);
    if (other.size) parts.push(String(other));
    history.replaceState(null, '', `${parts.length ? `?${parts.join('&')}` : location.pathname}${location.hash}`);
  },
};
