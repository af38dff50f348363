// Draws candles: rising ones hollow, falling ones filled, so that colour is not all that tells them apart; side by side, whatever
// nights and weekends lie between. Every number is a text that was sent; positions alone are floats.

import { compare, shown } from './text.js';

const SLOT = 8, SLOTS_LEAST = 10, TOP = 12, FOOT = 20, LABEL = 84;
const DAY_MS = 86_400_000;

const timeOf = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const dayOf = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });

/** When a bar began, as people say it. */
export const began = (bar, interval) => interval === '1d' ? dayOf.format(bar.time) : `${dayOf.format(bar.time)} ${timeOf.format(bar.time)}`;

/** A bar in words. */
export const inWords = (bar, interval) => [
  `${began(bar, interval)}: open ${bar.open}, high ${bar.high}, low ${bar.low}, close ${bar.close}, volume ${shown(bar.volume)}`,
  bar.final ? '' : 'still open', bar.gap ? 'trades may be missing' : '', bar.corrected ? 'corrected' : '',
].filter(Boolean).join(', ');

/**
 * Draws the newest bars that fit. `live` is the symbol's price now, or null. Returns the view: the bars shown, their middle, and
 * which bar is under a point.
 */
export function drawBars(pen, colours, { bars, interval, live, width, height, side, reader }) {
  const right = width - side, bottom = height - FOOT, slots = Math.max(SLOTS_LEAST, Math.floor(right / SLOT));
  const seen = bars.slice(-slots), step = right / slots;
  const low = least(seen, 'low', -1), high = least(seen, 'high', 1);
  let [bottomValue, topValue] = [Number(low.low), Number(high.high)];
  if (live !== null) { bottomValue = Math.min(bottomValue, Number(live)); topValue = Math.max(topValue, Number(live)); }
  const middle = i => right - (seen.length - i - .5) * step;
  const y = text => topValue === bottomValue ? (TOP + bottom) / 2 : TOP + (1 - (Number(text) - bottomValue) / (topValue - bottomValue)) * (bottom - TOP - 8);

  pen.lineWidth = 1; pen.strokeStyle = colours.line; pen.fillStyle = colours.soft; pen.textAlign = 'left';
  for (const text of compare(low.low, high.high) ? [high.high, low.low] : []) {
    pen.beginPath(); pen.moveTo(0, Math.round(y(text)) + .5); pen.lineTo(right, Math.round(y(text)) + .5); pen.stroke();
    if (live === null || Math.abs(y(text) - y(live)) > 18) pen.fillText(text, right + 8, y(text));
  }
  times(pen, seen, interval, middle, right, bottom, step);

  const body = Math.max(1, Math.round(step * .65));
  for (const [i, bar] of seen.entries()) {
    const rises = compare(bar.close, bar.open) >= 0, x = Math.round(middle(i)) + .5, from = Math.round(Math.min(y(bar.open), y(bar.close)));
    const tall = Math.max(1, Math.round(Math.abs(y(bar.open) - y(bar.close))));
    pen.strokeStyle = pen.fillStyle = rises ? colours.up : colours.down;
    pen.beginPath(); pen.moveTo(x, y(bar.high)); pen.lineTo(x, y(bar.low)); pen.stroke();
    if (rises && body > 2 && tall > 1) { pen.fillStyle = colours.card; pen.fillRect(x - body / 2, from, body, tall); pen.strokeRect(x - body / 2, from + .5, body, tall - 1); }
    else pen.fillRect(x - body / 2, from, body, tall);
    // Where trades may be missing, a mark at the foot.
    if (bar.gap) { pen.fillStyle = colours.warn; pen.fillRect(x - body / 2, bottom - 3, body, 3); }
  }
  const at = reader === null ? -1 : seen.findIndex(bar => bar.time === reader);
  if (at >= 0) {
    pen.strokeStyle = colours.text; pen.globalAlpha = .6;
    pen.beginPath(); pen.moveTo(Math.round(middle(at)) + .5, TOP - 6); pen.lineTo(Math.round(middle(at)) + .5, bottom); pen.stroke();
    pen.globalAlpha = 1;
  }
  return { bars: seen, y, right, under: px => seen[Math.min(seen.length - 1, Math.max(0, Math.floor((px - (right - seen.length * step)) / step)))] };
}

/** The bar whose text is the smallest (-1) or the largest (1). */
const least = (bars, name, sign) => bars.reduce((best, bar) => compare(bar[name], best[name]) === sign ? bar : best);

/** The time below every so many bars, the day where it is another. */
function times(pen, bars, interval, middle, right, bottom, step) {
  const every = Math.max(1, Math.ceil(LABEL / step));
  let day = null;
  pen.textAlign = 'center';
  for (let i = (bars.length - 1) % every; i < bars.length; i += every) {
    const x = middle(i), today = Math.floor(bars[i].time / DAY_MS);
    if (x < 28) continue;
    pen.fillText(interval === '1d' || (day !== null && today !== day) ? dayOf.format(bars[i].time) : timeOf.format(bars[i].time), Math.min(right - 28, x), bottom + FOOT / 2 + 2);
    pen.fillRect(Math.round(x), bottom, 1, 3);
    day = today;
  }
  pen.beginPath(); pen.moveTo(0, bottom + .5); pen.lineTo(right, bottom + .5); pen.stroke();
}
