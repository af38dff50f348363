// Prints what the client adds to a page: bundled, minified, gzipped.

import { build } from 'esbuild'
import { gzipSync } from 'node:zlib'

for (const [name, code] of Object.entries({
  "import { subscribe } from 'tickcast-client'": "export { subscribe } from './src/index.ts'",
  "import { usePrice } from 'tickcast-client/react'": "export { usePrice } from './src/react.ts'",
  'both, and all else': "export * from './src/index.ts'; export * from './src/react.ts'",
})) {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: new URL('..', import.meta.url).pathname },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    external: ['react'],
    write: false,
  })
  console.log(`${(gzipSync(outputFiles[0].contents, { level: 9 }).length / 1024).toFixed(1)} KiB  ${name}`)
}
