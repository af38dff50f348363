// Makes `src/generated/openapi.ts` of a service's OpenAPI document, or checks that it is what would be made.
//
//   node scripts/types.js [--write] URL_OR_FILE

import { readFileSync, writeFileSync } from 'node:fs'
import openapiTS, { astToString } from 'openapi-typescript'

const path = new URL('../src/generated/openapi.ts', import.meta.url)
const [flag, from] = process.argv[2] === '--write' ? process.argv.slice(2) : [null, process.argv[2]]
if (!from) {
  console.error('usage: node scripts/types.js [--write] URL_OR_FILE\nsuch as http://127.0.0.1:8080/openapi.json')
  process.exit(2)
}
const read = /^https?:/.test(from) ? await (await fetch(from)).text() : readFileSync(from, 'utf8')
// How wide an integer is means nothing in TypeScript.
const document = JSON.parse(read, (key, value) => (key === 'format' && typeof value === 'string' ? undefined : value))

// What the client reads, and what that is made of; the rest of the document may change without it.
const ROOTS = ['EventData', 'Field', 'Problem']
const EVENTS = ['message', 'hello', 'hb', 'gap', 'notice', 'fault', 'bye']
const { openapi, info, components } = document
const events = components.schemas.EventData
events.properties = Object.fromEntries(EVENTS.map(name => [name, events.properties[name]]))
events.required = EVENTS
const schemas = {}
const take = name => {
  if (schemas[name]) return
  schemas[name] = components.schemas[name] ?? {}
  for (const [, other] of JSON.stringify(schemas[name]).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) take(other)
}
ROOTS.forEach(take)
const sorted = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)))
const types = astToString(await openapiTS({ openapi, info, paths: {}, components: { schemas: sorted } }))
const text = `// Made by \`npm run generate:types\` from the service's /openapi.json. Not written by hand.\n\n${types}`

if (flag) writeFileSync(path, text)
else if (readFileSync(path, 'utf8') !== text) {
  console.error('src/generated/openapi.ts is not what this service says of itself: npm run generate:types -- URL')
  process.exit(1)
}
