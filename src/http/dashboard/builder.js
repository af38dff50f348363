// The same stream in the reader's own code: throttle and fields chosen here, the address they make, and a message as it
// would arrive. The throttle holds for this page's stream too, so that its effect is seen.

import { $, ask, encode, make, put, say } from './text.js';
import { FIELDS, FIELDS_DEFAULT, address } from './address.js';

/** Steps of the slider, in ms. */
const STEPS = [0, 50, 100, 250, 500, 1000, 2000, 5000, 10000];
const EXAMPLE_MS = 400;

export const builder = {
  symbols: [], chosen: null, changed() {}, timer: 0,

  start(changed) {
    this.changed = changed;
    const slider = $('throttle');
    slider.max = String(STEPS.length - 1);
    slider.addEventListener('input', () => { address.throttle = STEPS[Number(slider.value)]; this.show(); this.changed(); });
    $('throttle-default').addEventListener('click', () => { address.throttle = null; this.show(); this.changed(); slider.focus(); });
    $('fields').append(...Object.entries(FIELDS).map(([name, meaning]) => {
      const input = make('input');
      input.type = 'checkbox'; input.value = name; input.disabled = name === 'symbol';
      const label = make('label', 'chip', input, make('span', '', name));
      label.title = meaning;
      return label;
    }));
    $('fields').addEventListener('change', () => {
      const names = this.inputs().filter(input => input.checked).map(input => input.value);
      address.fields = names.join() === FIELDS_DEFAULT.join() ? null : names;
      this.show(); this.changed();
    });
    $('fields-default').addEventListener('click', () => { address.fields = null; this.show(); this.changed(); });
    for (const button of document.querySelectorAll('[data-copy]')) button.addEventListener('click', () => copy(button));
    this.granted(null);
  },

  inputs() { return [...$('fields').querySelectorAll('input')]; },

  /** What the server made of the wish, from `hello`. */
  granted(ms) {
    this.inForce = ms;
    this.show();
  },

  list(symbols, chosen) {
    this.symbols = symbols; this.chosen = chosen;
    this.show();
  },

  show() {
    const { throttle } = address, fields = address.fields ?? FIELDS_DEFAULT, inForce = this.inForce;
    const level = throttle ?? inForce ?? 100, slider = $('throttle');
    const nearest = STEPS.reduce((best, step, i) => Math.abs(step - level) < Math.abs(STEPS[best] - level) ? i : best, 0);
    slider.value = String(nearest);
    const name = ms => ms === 0 ? 'none: every change' : ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
    const text = throttle === null ? `${inForce === null ? 'the server’s' : name(inForce)} (default)` : name(throttle);
    put($('throttle-text'), text);
    slider.setAttribute('aria-valuetext', text);
    const raised = throttle !== null && inForce !== null && inForce > throttle;
    put($('throttle-note'), raised ? `The server allows no less than ${name(inForce)}.` : '');
    $('throttle-default').hidden = throttle === null;
    for (const input of this.inputs()) input.checked = input.value === 'symbol' || fields.includes(input.value);
    $('fields-default').hidden = address.fields === null;
    this.lines();
    this.example();
  },

  query(symbols) {
    const { throttle, fields } = address;
    return `symbols=${symbols}${throttle === null ? '' : `&throttle=${throttle}`}${fields === null ? '' : `&fields=${fields.join(',') || 'symbol'}`}`;
  },

  lines() {
    const symbols = this.symbols.map(encode).join(',') || '%2A';
    const url = `${new URL('prices', location.origin + location.pathname)}?${this.query(symbols)}`;
    put($('line-url'), url);
    put($('line-js'), `new EventSource('${url}').onmessage = e => console.log(JSON.parse(e.data))`);
    put($('line-curl'), `curl -N '${url}'`);
  },

  /** Asks for one message with these fields, once the choice has settled. */
  example() {
    const fields = address.fields ?? FIELDS_DEFAULT, key = `${this.chosen} ${fields.join()}`;
    if (key === this.exampleKey || !this.chosen) return;
    this.exampleKey = key;
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      try {
        const answer = await ask(`prices/snapshot?symbols=${encode(this.chosen)}&fields=${fields.join(',') || 'symbol'}`);
        if (key === this.exampleKey && answer.prices?.[0]) put($('example'), JSON.stringify(answer.prices[0]).replaceAll(',"', ', "'));
      } catch { this.exampleKey = ''; }
    }, EXAMPLE_MS);
  },
};

async function copy(button) {
  const node = $(button.dataset.copy);
  let copied = true;
  try { await navigator.clipboard.writeText(node.textContent); } catch {
    // Plain http on another host than localhost has no clipboard: select the line, and try the old way.
    getSelection().selectAllChildren(node);
    copied = document.execCommand('copy');
  }
  const was = button.dataset.text ??= button.textContent;
  button.textContent = copied ? 'Copied' : 'Selected';
  say(copied ? 'Copied' : 'Selected: copy with your keyboard');
  setTimeout(() => { button.textContent = was; }, 1600);
}
