// How this page's stream is: state, latency, counts, and a log of its events.

import { $, clock, duration, make, now, put } from './text.js';

const LOG_MAX = 200;
/** A kind of event, as the log shows it. */
const KINDS = { hello: 'hello', notice: 'notice', gap: 'gap', fault: 'fault', bye: 'bye', lost: 'lost', back: 'reconnect', wake: 'wake-up', pause: 'pause', list: 'list' };

const STATES = { idle: 'No stream', connecting: 'Connecting', live: 'Live', waiting: 'Reconnecting', ended: 'Ended', paused: 'Paused' };

/** Adds a line to the log; the oldest makes room. */
export function note(kind, text) {
  const time = make('time', '', clock(Date.now())), line = make('div', '', time, make('span', `tag tag-${kind}`, KINDS[kind] ?? kind), make('span', 'what', text));
  time.dateTime = new Date().toISOString();
  const list = $('log');
  list.prepend(line);
  while (list.children.length > LOG_MAX) list.lastElementChild.remove();
}

export const health = {
  stream: null, latency: null, counted: 0,

  start(stream, latency) {
    this.stream = stream; this.latency = latency;
    $('log-clear').addEventListener('click', () => $('log').replaceChildren());
  },

  /** The state: at once. */
  state() {
    const { stream } = this;
    $('pill').dataset.state = stream.kind;
    put($('state'), STATES[stream.kind]);
    document.body.classList.toggle('cold', stream.cold);
    put($('reason-text'), stream.why ? `${stream.why}${stream.cold ? ' Prices shown are the last ones received.' : ''}` : '');
    $('reason').hidden = !stream.why;
    this.count();
  },

  count() {
    const { until, kind } = this.stream, left = until === null ? null : Math.ceil((until - now()) / 1000);
    put($('countdown'), left === null ? kind === 'connecting' || kind === 'waiting' ? '…' : '' : left > 0 ? `${kind === 'ended' ? ', again' : ''} in ${left} s` : '…');
  },

  /** The figures: once a second, `elapsed` ms since the last time. */
  figures(elapsed) {
    const { stream } = this, rate = (stream.received - this.counted) * 1000 / elapsed;
    this.counted = stream.received;
    put($('rate'), rate > 0 && rate < 10 ? rate.toFixed(1) : String(Math.round(rate)));
    const read = this.latency.read(), ms = value => value < 10 ? value.toFixed(1) : String(Math.round(value));
    put($('latency'), read ? `${ms(read.median)} ms` : '–');
    put($('h-latency'), read ? `${ms(read.median)} ms, 95 % within ${ms(read.p95)} ms (± ${ms(this.latency.uncertainty)})` : '–');
    put($('h-since'), stream.kind === 'live' && stream.since ? `${duration(Date.now() - stream.since)}` : '–');
    put($('h-heard'), stream.isOpen ? `${duration(now() - stream.alive)} ago` : '–');
    put($('h-reconnects'), `${stream.reconnects}${stream.reconnects ? stream.resumed ? ', last one resumed' : ', last one anew' : ''}`);
    put($('h-received'), String(stream.received));
    put($('h-throttle'), stream.throttle === null ? '–' : `${stream.throttle} ms`);
    put($('h-heartbeat'), stream.heartbeat ? `every ${duration(stream.heartbeat)}` : '–');
    put($('last-id'), stream.cursor || '–');
  },
};
