// How the feeds are, asked for every few seconds while somebody can see the panel, and not otherwise.

import { $, ask, make, precise, put, shown } from './text.js';

const POLL_MS = 3000;

export const feeds = {
  timer: 0, visible: false, busy: false,

  start() {
    new IntersectionObserver(([entry]) => { this.visible = entry.isIntersecting; this.poll(); }).observe($('feeds'));
    document.addEventListener('visibilitychange', () => this.poll());
  },

  async poll() {
    clearTimeout(this.timer);
    if (!this.visible || document.hidden || this.busy) return;
    this.busy = true;
    try {
      const answer = await ask('feeds');
      this.show(Array.isArray(answer.feeds) ? answer.feeds : []);
    } catch (error) { put($('feeds-note'), `not available: ${error.message}`); }
    this.busy = false;
    this.timer = setTimeout(() => this.poll(), POLL_MS);
  },

  show(list) {
    const live = list.filter(feed => feed.state === 'live').length;
    put($('feeds-note'), `${live} of ${list.length} connection${list.length === 1 ? '' : 's'} live`);
    $('feed-rows').replaceChildren(...list.map(feed => {
      const refused = Array.isArray(feed.refused) ? feed.refused : [], good = feed.state === 'live', wait = feed.next_attempt_ms;
      const trouble = [feed.last_error, Number.isFinite(wait) ? `next attempt in ${precise(wait)}` : ''].filter(Boolean).join(' · ');
      const cell = (text, name = '', small = '') => {
        const td = make('td', name, make('b', '', shown(text)));
        if (small) td.append(make('small', '', small));
        return td;
      };
      const head = make('th', '', make('b', '', shown(feed.venue)), make('small', '', `connection ${shown(feed.connection)}`));
      head.scope = 'row';
      const lag = feed.lag_ms ?? {};
      const tr = make('tr', '', head, cell(`${good ? '●' : '▲'} ${shown(feed.state)}`, good ? 'good' : 'bad', good ? '' : trouble),
        cell(`${shown(feed.acknowledged)} of ${shown(feed.wanted)}`, 'n', refused.length ? `${refused.length} refused: ${refused.slice(0, 3).map(r => r?.wire).join(', ')}` : ''),
        cell(Number.isFinite(feed.last_tick_age_ms) ? precise(feed.last_tick_age_ms) : '–', 'n'),
        cell(Number.isFinite(lag.p50) ? `${lag.p50} ms` : '–', 'n', Number.isFinite(lag.p99) ? `p99 ${lag.p99} ms` : ''),
        cell(feed.ticks, 'n'), cell(feed.reconnects, 'n'), cell(feed.gaps, feed.gaps ? 'n bad' : 'n'), cell(feed.frames_refused, feed.frames_refused ? 'n bad' : 'n'));
      for (const r of refused) tr.title += `${r?.wire}: ${r?.reason}\n`;
      return tr;
    }));
  },
};
