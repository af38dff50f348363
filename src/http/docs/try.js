// Asks a route for real: a field for each parameter, the address that comes of them, and what is answered.
import { make } from './make.js';

/** More of an answer is not shown. */
const SHOWN_MAX = 20000;
/** Of a stream so much is shown, then it is closed. */
const EVENTS_MAX = 12;

/** What a parameter is entered into. */
function field(parameter, id) {
  const { schema, name } = parameter;
  const words = schema.enum ?? (schema.type === 'boolean' ? ['true', 'false'] : null);
  if (words) return make('select', { id, name }, make('option', { value: '' }, schema.default === undefined ? 'not given' : `not given: ${schema.default}`), words.map(word => make('option', {}, word)));
  const example = [schema.default ?? schema.examples?.[0] ?? schema.items?.examples?.[0] ?? ''].flat().join(',');
  return make('input', { id, name, placeholder: example, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', inputmode: schema.type === 'integer' ? 'numeric' : null });
}

/** For a URL; commas stay readable. */
const encode = text => encodeURIComponent(text).replaceAll('%2C', ',').replace(/[!'()*]/g, c => '%' + c.charCodeAt(0).toString(16).toUpperCase());

/** Reads an answer as it comes, so that a stream is seen; ends with it, or with enough of it. */
async function read(answer, show) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream');
  for (let text = ''; ;) {
    const { done, value } = await reader.read();
    text += value ?? '';
    const isEnough = text.length > SHOWN_MAX || (isStream && text.split('\n\n').length > EVENTS_MAX);
    if (done && answer.headers.get('content-type')?.includes('json')) text = JSON.stringify(JSON.parse(text), null, 2);
    show(text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text);
    if (done) return isStream ? ', then the end' : '';
    if (isEnough) {
      await reader.cancel();
      return isStream ? `, ${EVENTS_MAX} events, then closed` : ', cut';
    }
  }
}

/** The part of a route's description that asks it. */
export function tryIt(path, operation) {
  const asked = (operation.parameters ?? []).filter(parameter => parameter.in === 'query');
  const fields = asked.map((parameter, i) => [parameter, field(parameter, `${operation.operationId}-${i}`)]);
  const link = make('a', { target: '_blank', rel: 'noopener' }), status = make('span', { role: 'status' });
  const shown = make('pre', { tabindex: '0', role: 'region', 'aria-label': `Answer of ${operation.operationId}`, hidden: true });
  const go = make('button', { type: 'button' }, 'Ask'), stop = make('button', { type: 'button', hidden: true }, 'Stop');
  const key = operation.security ? make('input', { id: `${operation.operationId}-key`, type: 'password', autocomplete: 'off' }) : null;
  let running = null;

  const address = () => {
    const query = fields.filter(([, input]) => input.value !== '').map(([{ name }, input]) => `${name}=${encode(input.value)}`).join('&');
    return new URL(query ? `${path}?${query}` : path || './', document.baseURI).href;
  };
  const refresh = () => { link.href = link.textContent = address(); };
  // What has to be given begins with its example.
  for (const [parameter, input] of fields) {
    if (parameter.required) input.value = input.placeholder;
    input.addEventListener('input', refresh);
  }
  refresh();

  go.addEventListener('click', async () => {
    running?.abort();
    const mine = running = new AbortController();
    stop.hidden = false;
    shown.hidden = true;
    status.textContent = 'Asked';
    try {
      const answer = await fetch(address(), { signal: mine.signal, headers: key?.value ? { Authorization: `Bearer ${key.value}` } : {} });
      status.textContent = `${answer.status}, ${answer.headers.get('content-type')}`;
      shown.hidden = false;
      const end = await read(answer, text => { shown.textContent = text; });
      if (running === mine) status.textContent += end;
    } catch (error) {
      if (running === mine) status.textContent = mine.signal.aborted ? 'Stopped' : `No answer: ${error.message}`;
    }
    if (running === mine) stop.hidden = true;
  });
  stop.addEventListener('click', () => {
    running.abort();
    go.focus();
  });

  const labelled = (text, input) => make('p', {}, make('label', { for: input.id }, make('code', {}, text)), input);
  return make('section', { class: 'try', 'aria-label': `Try ${operation.operationId}` },
    make('h4', {}, 'Try it'),
    make('div', { class: 'fields' }, key ? labelled('key or token', key) : null, fields.map(([{ name }, input]) => labelled(name, input))),
    make('p', { class: 'address' }, link), make('p', { class: 'go' }, go, stop, status), shown);
}
