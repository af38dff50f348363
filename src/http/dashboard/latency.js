// How long a message took from being encoded to being read by this page. Two clocks are compared, so the difference between
// them is measured first, by a request there and back, and told with its uncertainty.

const KEPT = 600, TRIES = 3;
/** Measured again after so long; soon, as long as the round trips were slow. */
const AGAIN_MS = 300000, SOON_MS = 5000, GOOD_MS = 2;

export class Latency {
  /** Half of the quickest round trip: no reading is better than that. Null until measured. */
  uncertainty = null;
  #offset = 0; #readings = new Float64Array(KEPT); #count = 0; #measured = -Infinity; #busy = false;

  /** Measures the server's clock against ours, unless that was done well or a short while ago. */
  async measure(symbol) {
    const age = performance.now() - this.#measured;
    if (this.#busy || age < (this.uncertainty === null || this.uncertainty > GOOD_MS ? SOON_MS : AGAIN_MS)) return;
    this.#busy = true;
    this.#measured = performance.now();
    // A slow round trip tells less than a quicker one did, unless that is so long ago that clocks have drifted.
    let best = age > AGAIN_MS || this.uncertainty === null ? Infinity : 2 * this.uncertainty;
    try {
      for (let i = 0; i < TRIES; i++) {
        const from = performance.now();
        const answer = await (await fetch(`prices/snapshot?symbols=${encodeURIComponent(symbol)}&fields=sent_us`, { signal: AbortSignal.timeout(5000) })).json();
        const to = performance.now(), sent = answer.prices?.[0]?.sent_us;
        if (!Number.isFinite(sent) || to - from >= best) continue;
        best = to - from;
        this.#offset = sent / 1000 - (from + to) / 2;
        this.uncertainty = best / 2;
        this.#count = 0;
      }
    } catch { /* measured another time */ }
    this.#busy = false;
  }

  /** Notes a message's `sent_us`. */
  take(sentUs) {
    if (this.uncertainty === null || !Number.isFinite(sentUs)) return;
    let reading = performance.now() + this.#offset - sentUs / 1000;
    // Nothing is read before it is sent: the clocks differ by at least this much less than we measured.
    if (reading < 0) { this.#offset -= reading; reading = 0; }
    this.#readings[this.#count++ % KEPT] = reading;
  }

  /** Median and 95th percentile of the last messages, in ms; null where there are none. */
  read() {
    const count = Math.min(this.#count, KEPT);
    if (!count) return null;
    const sorted = this.#readings.slice(0, count).sort(), at = p => Math.max(0, sorted[Math.min(count - 1, Math.floor(count * p))]);
    return { median: at(.5), p95: at(.95) };
  }
}
