// Prices with a browser's own EventSource, or with npm's `eventsource`, which is the same for other places.

/** Calls `tell(name, id, data)` for each event of a stream; `closed` is the last. It comes back by itself until then. */
function followPrices(url, tell) {
  const prices = new EventSource(url)
  for (const name of ['message', 'hello', 'hb', 'gap', 'notice', 'fault', 'bye']) {
    prices.addEventListener(name, event => tell(name, event.lastEventId, JSON.parse(event.data)))
  }
  prices.addEventListener('error', () => {
    // After 400, 401, 403 or 404: it is dead for good. What the status was, only a fetch of the same address can tell.
    if (prices.readyState === EventSource.CLOSED) tell('closed', '', null)
  })
  return prices  // prices.close() ends it
}
