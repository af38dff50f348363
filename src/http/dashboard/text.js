// Text, decimals and times, for every other file. Prices are text from the message to the screen; `Number` is for pixels.

/** Monotonic, in milliseconds. */
export const now = () => performance.now();
export const $ = id => document.getElementById(id);
export const still = matchMedia('(prefers-reduced-motion: reduce)');

/** Compares two decimal strings exactly: -1, 0, 1. What is no decimal compares as equal. */
export function compare(a, b) {
  const [x, y] = [a, b].map(text => /^(-?)0*(\d*)(?:\.(\d*))?$/.exec(text || '?'));
  if (!x || !y) return 0;
  const digits = Math.max((x[3] ?? '').length, (y[3] ?? '').length);
  const [p, q] = [x, y].map(m => m[2] + (m[3] ?? '').padEnd(digits, '0'));
  const zero = /^0*$/.test(p) && /^0*$/.test(q);
  if (zero || x[1] !== y[1]) return zero ? 0 : x[1] ? -1 : 1;
  const larger = x[2].length - y[2].length || (p < q ? -1 : p > q ? 1 : 0);
  return Math.sign(x[1] ? -larger : larger);
}

export const shown = value => value === null || value === undefined || value === '' ? '–' : String(value);

/** Sets an element's text where it differs: an unchanged one costs no layout. */
export const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };

/** For a URL. Also what encodeURIComponent leaves alone but a shell or a string literal would not: these get copied. */
export const encode = text => encodeURIComponent(text).replace(/[!'()*]/g, c => '%' + c.charCodeAt(0).toString(16).toUpperCase());

/** The object that a text holds; an empty one where it holds none. */
export const parse = text => {
  try { const value = JSON.parse(text); return value && typeof value === 'object' ? value : {}; } catch { return {}; }
};

export const jitter = ms => ms * (0.6 + 0.4 * Math.random());

/** Milliseconds as people say them: `4 s`, `2 min`, `3 h`. */
export function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

/** As `duration`, and exact below a second. */
export const precise = ms => ms < 1000 ? `${Math.max(0, Math.round(ms))} ms` : duration(ms);

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
/** Time of day of a unix time in milliseconds. */
export const clock = ms => clockFormat.format(ms);

/** Tells who cannot see the screen. */
export function say(text) { $('said').textContent = text; }

/** An element with a class and children. */
export function make(tag, name = '', ...children) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children);
  return node;
}

/** Asks the service for JSON; throws with what it answered. */
export async function ask(path, signal) {
  const answer = await fetch(path, { signal: signal ?? AbortSignal.timeout(10000), headers: { accept: 'application/json' } });
  if (!answer.ok) throw new Error(`${path.split('?')[0]} answered ${answer.status}`);
  return answer.json();
}
