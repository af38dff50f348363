// The box that finds symbols and adds them: a combobox over `/symbols`.

import { $, ask, encode, make, say } from './text.js';
import { rows } from './table.js';

export const search = {
  found: [], active: -1, timer: 0, abort: null, enter: false, learn: answer => answer.symbols, add() {},

  start(learn, add) {
    this.learn = learn; this.add = add;
    const box = $('query');
    box.addEventListener('input', () => { if (box.value.trim()) this.ask(120); else this.hide(); });
    box.addEventListener('keydown', event => this.key(event));
    box.addEventListener('blur', () => this.hide());
    document.addEventListener('keydown', event => {
      const typing = event.target.closest('input:not([type=checkbox], [type=radio], [type=range]), textarea, select');
      if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); box.focus(); }
    });
  },

  ask(delay) {
    clearTimeout(this.timer);
    this.abort?.abort();
    this.timer = setTimeout(async () => {
      const abort = this.abort = new AbortController(), query = $('query').value.trim();
      try {
        const found = this.learn(await ask(`symbols?${query ? `query=${encode(query)}&` : ''}limit=8`, abort.signal));
        if (abort === this.abort && !abort.signal.aborted) this.show(found, query);
      } catch (error) {
        if (!abort.signal.aborted) { this.enter = false; this.show([], query, `The search failed: ${error.message}`); }
      }
    }, delay);
  },

  show(found, query, trouble) {
    this.timer = 0; this.abort = null;
    this.found = found;
    this.active = found.length ? 0 : -1;
    $('options').replaceChildren(...found.map((entry, i) => {
      const li = make('li', '', make('b', '', entry.symbol), make('span', '', entry.name ?? ''), make('em', '', rows.has(entry.symbol) ? '✓ in the list' : entry.class ?? ''));
      li.id = `option-${i}`;
      li.setAttribute('role', 'option');
      li.addEventListener('pointerdown', event => event.preventDefault());
      li.addEventListener('click', () => this.choose(i));
      return li;
    }));
    if (found.length) say(`${found.length} found`); else {
      const li = make('li', 'none', trouble ?? `No symbol matches “${query}”`);
      li.setAttribute('role', 'option');
      li.setAttribute('aria-disabled', 'true');
      li.setAttribute('aria-selected', 'false');
      $('options').append(li);
      say(li.textContent);
    }
    $('options').hidden = false;
    $('query').setAttribute('aria-expanded', 'true');
    this.point();
    if (this.enter) { this.enter = false; if (found.length) this.choose(0); }
  },

  point() {
    [...$('options').children].forEach((li, i) => { if (this.found.length) li.setAttribute('aria-selected', String(i === this.active)); });
    const li = this.active < 0 ? null : $(`option-${this.active}`);
    if (li) { $('query').setAttribute('aria-activedescendant', li.id); li.scrollIntoView({ block: 'nearest' }); } else { $('query').removeAttribute('aria-activedescendant'); }
  },

  choose(i) {
    const entry = this.found[i];
    $('query').value = '';
    this.hide();
    this.add(entry.symbol);
  },

  hide() {
    clearTimeout(this.timer);
    this.abort?.abort();
    this.timer = 0; this.abort = null; this.found = []; this.active = -1; this.enter = false;
    $('options').hidden = true;
    $('options').replaceChildren();
    $('query').setAttribute('aria-expanded', 'false');
    $('query').removeAttribute('aria-activedescendant');
  },

  key(event) {
    const open = !$('options').hidden, step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.isComposing) return;
    if (step) {
      event.preventDefault();
      if (!open) { this.ask(0); return; }
      if (this.found.length) { this.active = (this.active + step + this.found.length) % this.found.length; this.point(); }
    } else if (event.key === 'Enter') {
      event.preventDefault();
      // Typed faster than the answer came: the first of the answer is meant.
      if (this.timer || this.abort) this.enter = true; else if (this.active >= 0) this.choose(this.active);
    } else if (event.key === 'Escape') {
      event.preventDefault();
      if (open || this.timer || this.abort) this.hide(); else if ($('query').value) $('query').value = ''; else $('query').blur();
    }
  },
};
