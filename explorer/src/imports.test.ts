import { readdirSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { expect, it } from 'vitest';

type Graph = Record<string, string[]>;

/** The paths of our own that a file imports, or imports types from, from 'src'. */
const imported = (file: string, text: string): string[] =>
  [...text.matchAll(/\b(?:from|import)\s*\(?\s*['"](\.[^'"]*)['"]/g)].map(([, path]) =>
    normalize(join(file, '..', path)),
  );

/** Who imports whom. */
function graph(sources: Record<string, string>): Graph {
  const found = (path: string) => [path, `${path}.ts`, `${path}/index.ts`].filter((name) => name in sources);
  return Object.fromEntries(
    Object.entries(sources).map(([file, text]) => [file, imported(file, text).flatMap(found)]),
  );
}

/** A circle of imports, its first file once more at the end; [] if there is none. */
function circle(imports: Graph): string[] {
  const clear = new Set<string>(); // lead to no circle
  const from = (file: string, way: string[]): string[] => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
    if (clear.has(file)) return [];
    for (const next of imports[file]) {
      const found = from(next, [...way, file]);
      if (found.length) return found;
    }
    clear.add(file);
    return [];
  };
  return Object.keys(imports)
    .map((file) => from(file, []))
    .reduce((first, found) => (first.length ? first : found), []);
}

it('imports run in no circle, those of types included', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.(ts|svelte)$/.test(name),
  );
  const imports = graph(
    Object.fromEntries(files.map((name) => [normalize(name), readFileSync(join('src', name), 'utf8')])),
  );
  expect(imports['App.svelte']).toContain(normalize('lib/state.svelte.ts'));
  expect(circle(imports)).toEqual([]);
});

it('a circle is found, through types and components', () => {
  const planted = {
    'main.ts': "import App from './App.svelte';",
    'App.svelte': "<script>\n  import {\n    a,\n    b,\n  } from './lib/a';\n</script>",
    'lib/a.ts': "import type { B } from './b';\nexport { x } from './c';",
    'lib/b.ts': "import '../App.svelte';",
    'lib/c.ts': "import { y } from 'svelte';",
  };
  expect(circle(graph(planted))).toEqual(['App.svelte', 'lib/a.ts', 'lib/b.ts', 'App.svelte'].map(normalize));
  expect(circle(graph({ ...planted, 'lib/b.ts': '' }))).toEqual([]);
});
