import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// The server of `npm run dev` hands the API on to a carom that runs on this machine.
const carom = process.env.CAROM_URL ?? 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    // Nothing is written into the page itself, and no data: URL stands in for a file: the content policy allows files of the server alone.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1500,
  },
  server: { proxy: { '/v1': { target: carom, changeOrigin: false } } },
})
