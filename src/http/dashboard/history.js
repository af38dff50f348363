// What this page has seen of one symbol: a bar a second, the stretches in which it saw nothing, and in front of both what the
// service's candles say of the time before. Floats, for drawing; beside each stands the text it came from, for reading.

export const SECOND = 1000;
/** Bars kept of all symbols together, and of one: a quarter of an hour. */
const BARS_MAX = 200_000, BARS_MAX_EACH = 900, BARS_LEAST = 120;

/** How many bars each of so many symbols may keep. */
export const barsEach = symbols => Math.max(BARS_LEAST, Math.min(BARS_MAX_EACH, Math.floor(BARS_MAX / Math.max(1, symbols))));

/** The only source of the chart's line and of the sparklines. */
export class History {
  /** In ascending order: `{at, value, text, low, lowText, high, highText}`, or `{at, value: null}` where sight was lost. */
  bars = [];

  add(at, text, keep = BARS_MAX_EACH) {
    const value = Number(text);
    if (text === null || !Number.isFinite(value)) return;
    const last = this.bars.at(-1), second = Math.max(Math.floor(at / SECOND) * SECOND, last?.at ?? 0);
    if (!last || last.at !== second || last.value === null || last.past) {
      this.bars.push({ at: second, value, text, low: value, lowText: text, high: value, highText: text });
      // In one go and not one by one: moving the whole list is the dear part.
      if (this.bars.length > keep * 1.2) this.bars.splice(0, this.bars.length - keep);
      return;
    }
    last.value = value; last.text = text;
    if (value < last.low) { last.low = value; last.lowText = text; }
    if (value > last.high) { last.high = value; last.highText = text; }
  }

  /** Puts what is known of the time before in front of what was seen here; the finer word replaces the coarser one. */
  precede(points) {
    const own = this.bars.findIndex(bar => !bar.past), count = own < 0 ? this.bars.length : own, mine = this.bars.slice(count);
    const from = points[0]?.at ?? Infinity, until = mine[0]?.at ?? Infinity;
    this.bars = [...this.bars.slice(0, count).filter(bar => bar.at < from), ...points.filter(bar => bar.at < until), ...mine];
  }

  /** From here on, until the next price, nothing is known. */
  lose(at) {
    const last = this.bars.at(-1);
    if (last && last.value !== null) this.bars.push({ at: Math.max(Math.ceil(at / SECOND) * SECOND, last.at), value: null });
  }

  /** The bars since `from`, with the one before, since its price is the one that the window opens with. */
  since(from) {
    let low = 0, high = this.bars.length;
    while (low < high) { const middle = (low + high) >> 1; if (this.bars[middle].at < from) low = middle + 1; else high = middle; }
    return this.bars.slice(Math.max(0, low - 1));
  }
}

/** Lowest and highest bar of some, or null where none has a price. */
export function extent(bars) {
  let low = null, high = null;
  for (const bar of bars) {
    if (bar.value === null) continue;
    if (low === null || bar.low < low.low) low = bar;
    if (high === null || bar.high > high.high) high = bar;
  }
  return low && { low, high };
}

/**
 * Traces the bars' line. A price holds until the next one: quiet is level, not a slope; what was not seen is left out. Between
 * whole minutes, of which only the ends are known, it is a slope all the same.
 * Calls `run(first, last)` after each unbroken stretch, with the x of its ends.
 */
export function trace(pen, bars, x, y, to, run) {
  let before = null, start = 0;
  for (const bar of bars) {
    if (bar.value === null) {
      if (before) { pen.lineTo(x(bar.at), y(before.value)); run(start, x(bar.at)); }
      before = null;
      continue;
    }
    if (!before) { pen.beginPath(); start = x(bar.at); pen.moveTo(start, y(bar.value)); }
    else if (bar.at - before.at > 2 * SECOND && !bar.coarse && !before.coarse) { pen.lineTo(x(bar.at - SECOND), y(before.value)); }
    pen.lineTo(x(bar.at), y(bar.value));
    before = bar;
  }
  if (before) { pen.lineTo(x(to), y(before.value)); run(start, x(to)); }
}
