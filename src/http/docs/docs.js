// Reads `openapi.json` to people. What comes from there is put in as text, never as markup.
import { make } from './make.js';
import { tryIt } from './try.js';

const $ = id => document.getElementById(id);

/** Text with `code` in it. */
const inline = text => text.split('`').map((part, i) => i % 2 ? make('code', {}, part) : part);

/** Paragraphs, and lists of lines that begin with `*`. */
function prose(text) {
  return (text ?? '').split('\n\n').filter(Boolean).map(part => part.startsWith('* ')
    ? make('ul', {}, part.split('\n').map(line => make('li', {}, inline(line.slice(2)))))
    : make('p', {}, inline(part)));
}

const nameOf = reference => reference.split('/').pop();
const schemaLink = name => make('a', { href: `#schema-${name}` }, name);
const between = (nodes, word) => nodes.flatMap((node, i) => i ? [word, node] : [node]);

/** What a schema is, in a line. */
function kind(schema) {
  if (!schema) return ['anything'];
  if (schema.$ref) return [schemaLink(nameOf(schema.$ref))];
  const any = schema.oneOf ?? schema.anyOf;
  // What may be null says so last.
  if (any) return between([...any].sort((a, b) => (a.type === 'null') - (b.type === 'null')).map(part => make('span', {}, kind(part))), ' or ');
  if (schema.enum) return between(schema.enum.map(word => make('code', {}, word)), ' or ');
  if (schema.type === 'array') return ['list of ', make('span', {}, kind(schema.items))];
  if (schema.contentSchema) return ['JSON of ', make('span', {}, kind(schema.contentSchema))];
  if (schema.type === 'object' && schema.additionalProperties?.type) return ['object of ', make('span', {}, kind(schema.additionalProperties))];
  return [[schema.type ?? 'anything'].flat().join(' or ')];
}

/** What is not said by the kind: range, default, examples. */
function limits(schema) {
  const said = [];
  if (schema.minimum !== undefined && schema.maximum !== undefined) said.push(['from ', String(schema.minimum), ' to ', String(schema.maximum)]);
  if (schema.maxItems !== undefined) said.push(['at most ', String(schema.maxItems)]);
  if (schema.default !== undefined) said.push(['default ', make('code', {}, [schema.default].flat().join(','))]);
  else if (schema.examples?.length) said.push(['such as ', between(schema.examples.map(value => make('code', {}, String(value))), ', ')]);
  return said.length ? make('p', { class: 'limits' }, between(said, '; ')) : null;
}

/** A name, what it is, and what it is for. */
const row = (name, badge, what, ...about) => make('div', { class: 'row' },
  make('dt', {}, make('code', { class: 'name' }, name), badge ? make('span', { class: 'badge' }, badge) : null, ' ', make('span', { class: 'kind' }, what)),
  make('dd', {}, about));

const block = (title, rows) => rows.length ? [make('h4', {}, title), make('dl', {}, rows)] : [];

function parameters(operation) {
  const rows = (operation.parameters ?? []).map(parameter => row(parameter.name,
    parameter.required ? 'required' : parameter.in === 'query' ? '' : parameter.in,
    kind(parameter.schema), prose(parameter.description), limits(parameter.schema)));
  return block('Parameters', rows);
}

function properties(schema, required = schema.required ?? []) {
  return Object.entries(schema.properties ?? {}).map(([name, property]) =>
    row(name, required.includes(name) ? 'always' : '', kind(property), prose(property.description), limits(property)));
}

function body(operation) {
  const content = Object.entries(operation.requestBody?.content ?? {});
  return block('Body', content.map(([type, { schema }]) => row(type, operation.requestBody.required ? 'required' : '', kind(schema))));
}

function answers(operation, components) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const content = Object.entries(response.content ?? {});
    const headers = Object.keys(response.headers ?? {});
    return row(status === 'default' ? 'else' : status, '',
      content.map(([type, { schema }]) => make('span', { class: 'content' }, `${type}: `, kind(schema))),
      prose(response.description),
      headers.length ? make('p', { class: 'limits' }, 'with ', between(headers.map(name => make('code', { title: components.headers[name].description }, name)), ', ')) : null);
  });
  return block('Answers', rows);
}

/** How a client shows who it is. */
function needed(operation, components) {
  if (!operation.security) return null;
  const names = operation.security.map(any => Object.keys(any)[0]);
  const shown = names.map(name => {
    if (!name) return 'nothing';
    const scheme = components.securitySchemes[name];
    const where = scheme.type === 'http' ? 'Authorization: Bearer' : `${scheme.name} (${scheme.in})`;
    return make('code', { title: scheme.description }, where);
  });
  return make('p', { class: 'needs' }, 'Wants to be shown: ', between(shown, ' or '));
}

/** What folds: a name for links, a head, and what is inside. */
const fold = (id, head, ...inside) => make('details', { class: 'card', id }, make('summary', {}, make('h3', {}, head)), make('div', { class: 'inside' }, inside));

function route(path, method, operation, components) {
  const head = [make('span', { class: `method ${method}` }, method.toUpperCase()), ' ', make('code', {}, path), ' ', make('span', { class: 'summary' }, operation.summary)];
  const isAsked = method === 'get' && !path.includes('{');
  return fold(operation.operationId, head,
    prose(operation.description), needed(operation, components), parameters(operation), body(operation),
    isAsked ? tryIt(path.slice(1), operation) : null, answers(operation, components));
}

/** A type; `event` is the name of the event whose data it is. */
function schema(name, said, event) {
  const parts = said.oneOf?.filter(part => part.properties) ?? said.allOf;
  const inside = parts
    ? parts.map(part => [part.title ? make('h4', {}, part.title) : null, prose(part.description), make('dl', {}, properties(part))])
    : said.properties ? make('dl', {}, properties(said)) : [make('p', {}, kind(said)), limits(said)];
  const head = event ? [make('code', {}, event), ' ', make('span', { class: 'summary' }, name)] : make('code', {}, name);
  return fold(`schema-${name}`, head, prose(said.description), inside);
}

/** Unfolds what the address names. */
function follow() {
  const target = $(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName !== 'DETAILS') return;
  target.open = true;
  target.scrollIntoView();
  target.querySelector('summary').focus({ preventScroll: true });
}

function show(said) {
  const operations = Object.entries(said.paths).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({ path, method, operation })));
  const contents = make('ul'), groups = [];
  for (const { name, description } of said.tags) {
    const own = operations.filter(({ operation }) => operation.tags.includes(name));
    groups.push(make('section', { 'aria-labelledby': `tag-${name}` }, make('h2', { id: `tag-${name}` }, description),
      own.map(({ path, method, operation }) => route(path, method, operation, said.components))));
    contents.append(make('li', {}, make('a', { href: `#tag-${name}` }, description), make('ul', {},
      own.map(({ path, method, operation }) => make('li', {}, make('a', { href: `#${operation.operationId}` }, `${method.toUpperCase()} ${path}`))))));
  }
  const schemas = said.components.schemas;
  const events = Object.entries(schemas.EventData.properties).map(([event, { $ref }]) => [nameOf($ref), event]);
  const others = Object.keys(schemas).filter(name => !events.some(([data]) => data === name)).map(name => [name]);
  for (const [id, title, all] of [['events', 'What a stream says', events], ['types', 'Types', others]]) {
    groups.push(make('section', { 'aria-labelledby': id }, make('h2', { id }, title), all.map(([name, event]) => schema(name, schemas[name], event))));
    contents.append(make('li', {}, make('a', { href: `#${id}` }, title), make('ul', {},
      all.map(([name, event]) => make('li', {}, make('a', { href: `#schema-${name}` }, event ?? name))))));
  }
  $('version').textContent = said.info.version;
  $('about').append(...prose(said.info.description));
  $('contents').append(make('details', { open: matchMedia('(min-width: 900px)').matches }, make('summary', {}, 'Contents'), contents));
  $('routes').append(...groups);
  addEventListener('hashchange', follow);
  follow();
}

try {
  const answer = await fetch('openapi.json');
  if (!answer.ok) throw new Error(`the service answered ${answer.status}`);
  show(await answer.json());
} catch (error) {
  $('trouble').textContent = `openapi.json could not be read: ${error.message}`;
}
