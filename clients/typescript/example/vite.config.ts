import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const source = (name: string) => fileURLToPath(new URL(`../src/${name}`, import.meta.url))

export default defineConfig({
  // Opened from any folder of any server.
  base: './',
  esbuild: { jsx: 'automatic' },
  resolve: {
    // Your own page has it from `npm install tickcast-client`; this one from the next folder.
    alias: { 'tickcast-client/react': source('react.ts'), 'tickcast-client': source('index.ts') },
  },
  build: { outDir: '../dist-example', emptyOutDir: true, chunkSizeWarningLimit: 1000 },
})
