// The large chart of the chosen symbol: a canvas, drawn from its history as a line, or from its candles. Every number on it is a
// text that was sent; positions alone are floats. The arrow keys move a reader along it, second by second or bar by bar.

import { $, clock, now, put } from './text.js';
import { address } from './address.js';
import { drawBars, inWords } from './bars.js';
import { Candles } from './candles.js';
import { SECOND, extent, trace } from './history.js';
import { fit, palette } from './table.js';

const DRAW_MS = 100, SPAN_LEAST = 30 * SECOND;
const FOOT = 20, HEAD = 12, SIDE_LEAST = 56;
const TICKS = [5, 10, 15, 30, 60, 120, 300, 600].map(s => s * SECOND);

export const chart = {
  row: null, span: 5 * 60 * SECOND, isCold: () => false, changed() {}, candles: null,
  drawn: 0, timer: 0, width: 0, height: 0, side: SIDE_LEAST, reader: null, view: null,

  start() {
    const canvas = $('chart');
    new ResizeObserver(([entry]) => { this.width = entry.contentRect.width; this.height = entry.contentRect.height; this.draw(); }).observe(canvas);
    this.candles = new Candles(() => this.touch());
    const toPointer = event => { if (this.view) this.read(this.view.time(event.offsetX)); };
    canvas.addEventListener('pointermove', toPointer);
    canvas.addEventListener('pointerdown', toPointer);
    canvas.addEventListener('pointerleave', () => this.read(null));
    canvas.addEventListener('blur', () => this.read(null));
    canvas.addEventListener('keydown', event => this.key(event));
    for (const input of document.querySelectorAll('[name=span]')) {
      input.checked = input.value === (address.interval ?? '5');
      input.addEventListener('change', () => {
        const minutes = Number(input.value);
        address.interval = minutes ? null : input.value;
        if (minutes) this.span = minutes * 60 * SECOND;
        this.reader = null;
        $('chart').removeAttribute('aria-valuetext');
        this.changed();
        this.draw();
      });
    }
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.candles.wake(); });
  },

  show(row) {
    if (row === this.row) return;
    this.row = row; this.reader = null;
    this.draw();
  },

  /** Draws soon: at most ten times a second, however fast prices move. */
  touch() {
    if (this.timer || document.hidden) return;
    this.timer = setTimeout(() => requestAnimationFrame(() => { this.timer = 0; this.draw(); }), Math.max(0, DRAW_MS - (now() - this.drawn)));
  },

  key(event) {
    if (!this.view) return;
    if (this.view.bars) { this.keyBars(event); return; }
    const to = this.view.to, at = this.reader ?? to, step = Math.max(SECOND, Math.round(this.span / 60 / SECOND) * SECOND);
    const next = { ArrowLeft: at - step, ArrowRight: at + step, Home: this.view.from, End: to, PageUp: at + 10 * step, PageDown: at - 10 * step }[event.key];
    if (event.key === 'Escape') this.read(null); else if (next !== undefined) this.read(Math.min(to, Math.max(this.view.from, next))); else return;
    event.preventDefault();
  },

  /** From bar to bar. */
  keyBars(event) {
    const { bars } = this.view, at = this.reader === null ? bars.length : bars.findIndex(bar => bar.time >= this.reader);
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: bars.length - 1, PageUp: at + 10, PageDown: at - 10 }[event.key];
    if (event.key === 'Escape') this.read(null); else if (next !== undefined) this.read(bars[Math.min(bars.length - 1, Math.max(0, next))].time); else return;
    event.preventDefault();
  },

  /** Moves the reader to a time, or takes it away. */
  read(at) {
    this.reader = at;
    this.draw();
  },

  draw() {
    this.drawn = now();
    const colours = palette(), canvas = $('chart');
    if (!colours || !this.width) return;
    const pen = fit(canvas, this.width, this.height), scale = devicePixelRatio || 1, to = Date.now(), { width, height } = this;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.font = '12px system-ui, sans-serif';
    pen.textBaseline = 'middle';
    // A symbol that was never spoken of is perhaps none: nobody is asked about it.
    this.candles.show(address.interval && this.row?.latest ? this.row.symbol : null, address.interval);
    if (address.interval && this.row?.latest) { this.drawCandles(pen, colours); return; }
    put($('chart-note'), '');
    const bars = this.row?.history.since(to - this.span) ?? [], range = extent(bars);
    this.view = null;
    if (!range) { this.blank(pen, colours, this.row ? 'Waiting for the first price' : 'Choose a symbol to see its chart'); return; }
    const low = range.low.low, high = range.high.high, last = bars.at(-1), lastKnown = bars.findLast(bar => bar.value !== null);
    // Grows with what is seen: a page just opened has a chart as well.
    const from = Math.max(to - this.span, Math.min(bars[0].at, to - SPAN_LEAST));
    const labels = [range.high.highText, range.low.lowText, lastKnown.text];
    // Only ever wider, so that the chart does not jump with a digit.
    this.side = Math.max(SIDE_LEAST, ...labels.map(text => pen.measureText(text).width + 16), this.sideOf === this.row ? this.side : 0);
    this.sideOf = this.row;
    const right = width - this.side, bottom = height - FOOT;
    const x = t => Math.max(0, (t - from) / (to - from)) * right;
    const y = v => high === low ? (HEAD + bottom) / 2 : HEAD + (1 - (v - low) / (high - low)) * (bottom - HEAD - 8);
    this.view = { from, to, time: px => Math.round(from + Math.min(1, Math.max(0, px / right)) * (to - from)) };
    this.frameOf(pen, colours, { from, to, x, y, right, bottom, range, low, high, lastKnown });
    this.unseen(pen, colours, bars, x, bottom, to);

    const first = bars.find(bar => bar.value !== null), status = this.row.status;
    const quiet = this.isCold() || last.value === null || (status !== 'live' && status !== 'degraded') || last.value === first.value;
    const colour = quiet ? colours.soft : last.value > first.value ? colours.up : colours.down;
    // From the lowest to the highest of each second, faint: no spike hides between two points.
    pen.strokeStyle = colour; pen.globalAlpha = .35; pen.lineWidth = 1.5;
    pen.beginPath();
    for (const bar of bars) if (bar.value !== null && bar.high > bar.low && bar.at >= from) { pen.moveTo(x(bar.at), y(bar.high)); pen.lineTo(x(bar.at), y(bar.low)); }
    pen.stroke();
    pen.globalAlpha = 1; pen.lineWidth = 1.75; pen.lineJoin = 'round';
    const fade = pen.createLinearGradient(0, HEAD, 0, bottom);
    fade.addColorStop(0, colour); fade.addColorStop(1, `${colour}00`);
    trace(pen, bars, x, y, to, (left, end) => {
      pen.stroke();
      pen.lineTo(end, bottom); pen.lineTo(left, bottom);
      pen.fillStyle = fade; pen.globalAlpha = .2; pen.fill(); pen.globalAlpha = 1;
    });
    this.chip(pen, colour, colours, lastKnown.text, y(lastKnown.value), right, last.value === null);
    if (last.value !== null) { pen.fillStyle = colour; pen.beginPath(); pen.arc(right, y(last.value), 3, 0, 7); pen.fill(); }
    this.cursor(pen, colours, bars, { x, y, right, bottom, from, to });
  },

  drawCandles(pen, colours) {
    const { bars, state, alignment } = this.candles, interval = address.interval, canvas = $('chart'), { width, height } = this;
    this.view = null;
    if (!bars.length) {
      put($('chart-note'), '');
      this.blank(pen, colours, { loading: 'Loading candles', there: 'Nothing was traded yet: candles are made of trades' }[state] ?? `Candles are ${state}`);
      return;
    }
    const live = this.row.latest.price ?? null, isCold = this.isCold() || this.row.status === 'stale', widest = [live ?? '', ...bars.slice(-200).map(bar => bar.high)];
    this.side = Math.max(SIDE_LEAST, ...widest.map(text => pen.measureText(text).width + 16));
    this.sideOf = null;
    const drawn = drawBars(pen, colours, { bars, interval, live, width, height, side: this.side, reader: this.reader });
    this.view = { bars: drawn.bars, time: px => drawn.under(px).time };
    const last = drawn.bars.at(-1), rises = Number(last.close) >= Number(last.open);
    if (live !== null) this.chip(pen, isCold ? colours.soft : rises ? colours.up : colours.down, colours, live, drawn.y(live), drawn.right, isCold);
    const at = this.reader === null ? drawn.bars.length - 1 : Math.max(0, drawn.bars.findIndex(bar => bar.time === this.reader)), words = inWords(drawn.bars[at], interval);
    canvas.setAttribute('aria-valuemin', String(1 - drawn.bars.length));
    if (this.reader !== null || !canvas.hasAttribute('aria-valuetext')) {
      canvas.setAttribute('aria-valuenow', String(at + 1 - drawn.bars.length));
      canvas.setAttribute('aria-valuetext', words);
    }
    put($('chart-note'), this.reader !== null ? words : alignment === 'session' ? 'Bars begin with the market’s sessions' : 'Bars begin at full times in UTC');
  },

  /** Highest and lowest as lines with their texts, and the time below. */
  frameOf(pen, colours, { from, to, x, y, right, bottom, range, low, high, lastKnown }) {
    pen.lineWidth = 1; pen.strokeStyle = colours.line; pen.fillStyle = colours.soft; pen.textAlign = 'left';
    const taken = y(lastKnown.value);
    for (const [value, text] of low === high ? [] : [[high, range.high.highText], [low, range.low.lowText]]) {
      pen.beginPath(); pen.moveTo(0, Math.round(y(value)) + .5); pen.lineTo(right, Math.round(y(value)) + .5); pen.stroke();
      if (Math.abs(y(value) - taken) > 18) pen.fillText(text, right + 8, y(value));
    }
    const step = TICKS.find(ms => (to - from) / ms <= right / 84) ?? TICKS.at(-1);
    pen.textAlign = 'center';
    for (let t = Math.ceil(from / step) * step; t < to; t += step) {
      if (x(t) < 28 || x(t) > right - 28) continue;
      pen.fillText(clock(t).slice(0, step % 60000 ? 8 : 5), x(t), bottom + FOOT / 2 + 2);
      pen.fillRect(Math.round(x(t)), bottom, 1, 3);
    }
    pen.beginPath(); pen.moveTo(0, bottom + .5); pen.lineTo(right, bottom + .5); pen.stroke();
  },

  /** Hatches the stretches in which this page saw nothing. */
  unseen(pen, colours, bars, x, bottom, to) {
    for (const [i, bar] of bars.entries()) {
      if (bar.value !== null) continue;
      const left = x(bar.at), end = x(bars[i + 1]?.at ?? to);
      if (end - left < 2) continue;
      pen.save();
      pen.beginPath(); pen.rect(left, HEAD - 6, end - left, bottom - HEAD + 6); pen.clip();
      pen.strokeStyle = colours.warn; pen.globalAlpha = .4; pen.lineWidth = 1;
      pen.beginPath();
      for (let at = left - bottom; at < end; at += 8) { pen.moveTo(at, bottom); pen.lineTo(at + bottom, 0); }
      pen.stroke();
      pen.restore();
    }
  },

  chip(pen, colour, colours, text, at, right, hollow) {
    pen.setLineDash([2, 3]); pen.strokeStyle = colour; pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(0, Math.round(at) + .5); pen.lineTo(right, Math.round(at) + .5); pen.stroke();
    pen.setLineDash([]);
    pen.beginPath(); pen.roundRect(right + 3, at - 10, this.side - 4, 20, 5);
    pen.fillStyle = hollow ? colours.card : colour;
    pen.fill();
    if (hollow) pen.stroke();
    pen.fillStyle = hollow ? colours.soft : colours.card; pen.textAlign = 'left';
    pen.fillText(text, right + 8, at + .5);
  },

  cursor(pen, colours, bars, { x, y, right, bottom, from, to }) {
    const canvas = $('chart'), at = Math.min(to, Math.max(from, this.reader ?? to));
    const bar = bars.findLast(b => b.at <= at) ?? bars[0], known = bar.value !== null;
    const text = `${clock(at)}  ${known ? bar.text : 'not seen'}`;
    canvas.setAttribute('aria-valuemin', String(Math.round((from - to) / SECOND)));
    // Moved by the user it speaks; by itself it would never stop.
    if (this.reader !== null || !canvas.hasAttribute('aria-valuetext')) {
      canvas.setAttribute('aria-valuenow', String(Math.round((at - to) / SECOND)));
      canvas.setAttribute('aria-valuetext', text);
    }
    if (this.reader === null) return;
    pen.strokeStyle = colours.text; pen.globalAlpha = .6; pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(x(at), HEAD - 6); pen.lineTo(x(at), bottom); pen.stroke();
    pen.globalAlpha = 1;
    if (known) { pen.fillStyle = colours.text; pen.beginPath(); pen.arc(x(at), y(bar.value), 3.5, 0, 7); pen.fill(); }
    const wide = pen.measureText(text).width + 14, left = Math.min(right - wide, Math.max(0, x(at) - wide / 2));
    pen.fillStyle = colours.text; pen.beginPath(); pen.roundRect(left, 0, wide, 20, 5); pen.fill();
    pen.fillStyle = colours.card; pen.textAlign = 'left'; pen.fillText(text, left + 7, 10.5);
  },

  blank(pen, colours, text) {
    pen.fillStyle = colours.soft; pen.textAlign = 'center';
    pen.fillText(text, this.width / 2, this.height / 2);
  },
};
