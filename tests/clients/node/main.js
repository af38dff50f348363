// Runs what is in event-source.js with npm's `eventsource`: node main.js event-source.js URL
import { readFileSync } from 'node:fs'
import vm from 'node:vm'
import { EventSource } from 'eventsource'

const [program, url] = process.argv.slice(2)
globalThis.EventSource = EventSource
vm.runInThisContext(readFileSync(program, 'utf8'), { filename: program })
followPrices(url, (name, id, data) => console.log([name, id, JSON.stringify(data)].join('\t')))
