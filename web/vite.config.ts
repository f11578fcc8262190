import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// The API serves the page below any path prefix: everything in the build is addressed relative to where it stands.
export default defineConfig({
  base: "./",
  plugins: [svelte({ compilerOptions: { css: "external" } })],
  build: {
    outDir: "../services/laneway/api/dashboard/files",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // A process for each file would take four times as long. The tests leave nothing behind. They run beside those of `make test`.
  test: { include: ["src/**/*.test.ts"], environment: "node", isolate: false, testTimeout: 30_000 },
});
