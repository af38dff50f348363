// What the tests' scripts in a page use. Both wait for the thing itself; how long at most is the session's script limit.

/** Resolves with the condition's value once the document makes it true. */
window.until = condition => new Promise(resolve => {
  let value = condition();
  if (value) { resolve(value); return; }
  const observer = new MutationObserver(() => {
    value = condition();
    if (value) { observer.disconnect(); resolve(value); }
  });
  observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
});

/** Opens an EventSource and logs all that it tells; `until` resolves once an entry makes the condition true. */
window.follow = url => {
  const log = [], waiting = new Set(), source = new EventSource(url);
  for (const name of ['open', 'error', 'message', 'hello', 'hb', 'gap', 'notice', 'fault', 'bye']) {
    source.addEventListener(name, event => {
      log.push({ name, id: event.lastEventId ?? null, data: event.data ? JSON.parse(event.data) : null });
      for (const check of waiting) check();
    });
  }
  const until = condition => new Promise(resolve => {
    const check = () => {
      const value = condition();
      if (value) { waiting.delete(check); resolve(value); }
    };
    waiting.add(check);
    check();
  });
  return { log, source, until };
};
