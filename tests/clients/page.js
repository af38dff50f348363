// Runs the two programs for browsers in a page, as the test says over a WebSocket, and tells it what they tell.
// LIBRARY are the files of fetch-event-source as published, or null, PROGRAMS the two programs' text, ORDERS the test's address.
const load = name => {
  const exports = {};
  new Function('require', 'exports', LIBRARY[name])(load, exports);
  return exports;
};
const fetchEventSource = LIBRARY && load('./fetch').fetchEventSource;
const follow = Object.fromEntries(Object.entries(PROGRAMS).map(([name, text]) =>
  [name, new Function('fetchEventSource', `${text}; return followPrices`)(fetchEventSource)]));
// What the README warns of: the library without any of its options.
follow.plain = (url, tell) => {
  const stop = new AbortController();
  const onmessage = ({ event, id, data }) => { if (data) tell(event || 'message', id, JSON.parse(data)); };
  fetchEventSource(url, { signal: stop.signal, onmessage }).then(() => tell('closed', '', 'finished'));
  return stop;
};
const orders = new WebSocket(ORDERS), running = new Map();
orders.onmessage = ({ data }) => {
  const { key, program, url, hidden } = JSON.parse(data);
  if (hidden !== undefined) {
    // As when another tab is put before this one.
    Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
    document.dispatchEvent(new Event('visibilitychange'));
  } else if (program) {
    running.set(key, follow[program](url, (name, id, data) => orders.send(JSON.stringify({ key, name, id, data }))));
  } else {
    const one = running.get(key);
    if (one.close) one.close(); else one.abort();
  }
};
await new Promise(open => { orders.onopen = open; });
