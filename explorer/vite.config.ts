import { svelte } from '@sveltejs/vite-plugin-svelte';
import { viteSingleFile } from 'vite-plugin-singlefile';
import { defineConfig } from 'vitest/config';

/** KaTeX names every font three times; the page carries them inside, so one format must do. */
const woff2Only = {
  name: 'woff2-only',
  enforce: 'pre' as const,
  transform(code: string, id: string) {
    if (!id.includes('katex') || !id.includes('.css')) return null;
    return code.replace(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\([^)]*\)/g, '');
  },
};

export default defineConfig({
  base: './',
  plugins: [woff2Only, svelte(), viteSingleFile()],
  build: { outDir: '../src/xent/explorer', emptyOutDir: true, target: 'es2022' },
  test: { include: ['src/**/*.test.ts'] },
});
