// Runs the unit tests: bundles each file for Node, which reads no TypeScript, and hands them to its own test runner.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const home = new URL('..', import.meta.url).pathname
// Where packages are found from.
const cache = join(home, 'node_modules', '.cache')
mkdirSync(cache, { recursive: true })
const out = mkdtempSync(join(cache, 'test-'))
try {
  const names = readdirSync(join(home, 'test')).filter(name => name.endsWith('.test.ts'))
  await build({
    entryPoints: names.map(name => join(home, 'test', name)),
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    outdir: out,
    outExtension: { '.js': '.mjs' },
    sourcemap: 'inline',
    logLevel: 'warning',
  })
  const files = names.map(name => join(out, name.replace(/ts$/, 'mjs')))
  process.exitCode = spawnSync(process.execPath, ['--enable-source-maps', '--test', ...files], { stdio: 'inherit' }).status ?? 1
} finally {
  rmSync(out, { recursive: true, force: true })
}
