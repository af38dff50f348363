// Runs the unit tests: bundles each file for Node, which reads no TypeScript, and hands them to its own test runner.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'

const home = new URL('..', import.meta.url).pathname
const out = mkdtempSync(join(tmpdir(), 'tickcast-client-'))
try {
  const names = readdirSync(join(home, 'test')).filter(name => name.endsWith('.test.ts'))
  await build({
    entryPoints: names.map(name => join(home, 'test', name)),
    bundle: true,
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
