import { expect, it } from 'vitest';
import vectors from '../../../tests/vectors/explorer.json';
import { fit, logits, type Point } from './newton';
import { tie } from './regions';

it('ends where a third class or the square does', () => {
  for (const c of vectors.newton) {
    const points = c.points.map(([x, y, label]) => ({ x: [x, y], label }) as Point);
    const model = fit(points, c.classes, c.C);
    const found = [0, 1, 2].map((k) => (k < c.classes ? tie(model, k, (k + 1) % c.classes, 2) : null));
    expect(found.filter(Boolean).length).toBeGreaterThan(0);
    found.forEach((segment, k) =>
      segment?.forEach((x) => {
        const z = logits(model, x);
        const l = (k + 1) % c.classes;
        const third = z.filter((_, m) => m !== k && m !== l);
        expect(Math.abs(z[k] - z[l])).toBeLessThan(1e-11);
        third.forEach((v) => expect(v - z[k]).toBeLessThan(1e-11));
        const onEdge = Math.abs(Math.max(...x.map(Math.abs)) - 2) < 1e-9;
        expect(onEdge || third.some((v) => Math.abs(v - z[k]) < 1e-11)).toBe(true);
      }),
    );
  }
});

it('knows that equal rows have no boundary', () => {
  const model = {
    W: [
      [1, 0],
      [1, 0],
    ] as [number, number][],
    b: [0, 1],
  };
  expect(tie(model, 0, 1, 2)).toBeNull();
});
