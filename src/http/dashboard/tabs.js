// One stream a tab, and few enough tabs with one. A browser has six HTTP/1.1 connections to a host for all its tabs: with six
// streams open the seventh page would not even load. So of more than four, tabs that nobody sees give theirs back.

const STREAMS_MAX = 4, TELL_MS = 20000, FORGET_MS = 180000;

/** Other tabs of this service, by what they say. */
export class Tabs {
  /** `pause` is called when this hidden tab is the one to close its stream. */
  constructor(pause) {
    this.pause = pause;
    this.me = { id: crypto.getRandomValues(new Uint32Array(2)).join('-'), open: false, hiddenSince: null };
    this.others = new Map();
    // On HTTP/2 all streams share one connection.
    const protocol = performance.getEntriesByType('navigation')[0]?.nextHopProtocol ?? '';
    if (typeof BroadcastChannel !== 'function' || /^h[23]/.test(protocol)) return;
    this.channel = new BroadcastChannel(`tickcast ${location.pathname}`);
    this.channel.onmessage = ({ data }) => this.hear(data);
    document.addEventListener('visibilitychange', () => this.tell());
    addEventListener('pagehide', () => this.channel.postMessage({ id: this.me.id, gone: true }));
    setInterval(() => this.tell(), TELL_MS);
    this.tell({ asks: true });
  }

  /** Notes whether this tab has its stream open. */
  set open(open) {
    if (open === this.me.open) return;
    this.me.open = open;
    this.tell();
  }

  tell(more) {
    this.me.hiddenSince = document.hidden ? this.me.hiddenSince ?? Date.now() : null;
    this.channel?.postMessage({ ...this.me, ...more });
    this.decide();
  }

  hear(said) {
    if (typeof said?.id !== 'string') return;
    if (said.gone) { this.others.delete(said.id); return; }
    this.others.set(said.id, { ...said, heard: Date.now() });
    if (said.asks) this.channel.postMessage(this.me);
    this.decide();
  }

  decide() {
    const since = Date.now() - FORGET_MS;
    for (const [id, other] of this.others) if (other.heard < since) this.others.delete(id);
    const open = [this.me, ...this.others.values()].filter(tab => tab.open);
    if (!this.me.open || this.me.hiddenSince === null || open.length <= STREAMS_MAX) return;
    // All tabs come to the same answer: those hidden longest go first.
    const hidden = open.filter(tab => tab.hiddenSince !== null).sort((a, b) => a.hiddenSince - b.hiddenSince || (a.id < b.id ? -1 : 1));
    if (hidden.indexOf(this.me) < open.length - STREAMS_MAX) this.pause();
  }
}
