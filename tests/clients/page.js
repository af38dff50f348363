// Runs the two programs for browsers in a page, as the test says over a WebSocket, and tells it what they tell.
// LIBRARY are the files of fetch-event-source as published, PROGRAMS the two programs' text, ORDERS the test's address.
const load = name => {
  const exports = {};
  new Function('require', 'exports', LIBRARY[name])(load, exports);
  return exports;
};
const fetchEventSource = LIBRARY['./fetch'] && load('./fetch').fetchEventSource;
const follow = Object.fromEntries(Object.entries(PROGRAMS).map(([name, text]) =>
  [name, new Function('fetchEventSource', `${text}; return followPrices`)(fetchEventSource)]));
const orders = new WebSocket(ORDERS), running = new Map();
orders.onmessage = ({ data }) => {
  const { key, program, url } = JSON.parse(data);
  if (program) {
    running.set(key, follow[program](url, (name, id, data) => orders.send(JSON.stringify({ key, name, id, data }))));
  } else {
    const one = running.get(key);
    if (one.close) one.close(); else one.abort();
  }
};
await new Promise(open => { orders.onopen = open; });
