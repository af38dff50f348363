// Prices with npm's `@microsoft/fetch-event-source`, which can send headers and read a refusal's status.

/** Calls `tell(name, id, data)` for each event of a stream; `closed` is the last. It comes back by itself until then. */
function followPrices(url, tell) {
  const stop = new AbortController()
  fetchEventSource(url + '&errors=status', {
    signal: stop.signal,
    openWhenHidden: true,  // or it leaves whenever its tab is hidden, and asks again when it is shown
    async onopen(response) {
      if (response.ok) return
      const seconds = Number(response.headers.get('retry-after'))  // with 429 and 503
      throw Object.assign(new Error(`status ${response.status}`), { wait: seconds * 1000, final: !seconds })
    },
    onmessage({ event, id, data }) {
      if (data) tell(event || 'message', id, JSON.parse(data))
    },
    onclose() {
      throw new Error('ended')  // or it takes the end of the stream for the end of it all
    },
    onerror(error) {
      if (error.final) throw error
      return error.wait  // undefined: as the stream's `retry` says
    },
  }).catch(error => tell('closed', '', error.message))
  return stop  // stop.abort() ends it
}
