import { describe, expect, it } from 'vitest';
import vectors from '../../../tests/vectors/explorer.json';
import { boundary, fit, logits, objective, solve } from './newton';
import type { Point } from './newton';

const points = (rows: number[][]): Point[] => rows.map(([x, y, label]) => ({ x: [x, y], label }));

describe.each(vectors.newton)('$name', (c) => {
  const rows = points(c.points);
  const fitted = fit(rows, c.classes, c.C);
  const size = Math.max(...c.W.flat().map(Math.abs));
  const near = (got: number, want: number) => expect(Math.abs(got - want)).toBeLessThanOrEqual(1e-12 * size);

  it('is the optimum', () => {
    fitted.W.flat().forEach((v, i) => near(v, c.W.flat()[i]));
    fitted.b.forEach((v, k) => near(v, c.b[k]));
    expect(Math.abs(fitted.objective / c.objective - 1)).toBeLessThan(1e-14);
    expect(fitted.gradientNorm).toBeLessThan(1e-14);
    expect(fitted.iterations).toBeLessThan(30);
  });

  it('is the same from elsewhere', () => {
    const moved = rows.map((p, i) => (i ? p : { ...p, x: [p.x[0] + 2, p.x[1] - 3] as [number, number] }));
    const again = fit(rows, c.classes, c.C, fit(moved, c.classes, c.C));
    again.W.flat().forEach((v, i) => near(v, c.W.flat()[i]));
  });

  it('ties on its boundaries', () => {
    const { w, c: offset } = boundary(fitted, 0, 1);
    const square = w[0] ** 2 + w[1] ** 2;
    const z = logits(fitted, [(-offset * w[0]) / square, (-offset * w[1]) / square]);
    expect(Math.abs(z[0] - z[1])).toBeLessThan(1e-12 * size);
  });

  it('is lower than near it', () => {
    for (const by of [1e-3, -1e-3]) {
      const W = fitted.W.map((row, k) => (k ? row : ([row[0] + by, row[1]] as [number, number])));
      expect(objective({ ...fitted, W }, rows, c.C)).toBeGreaterThan(fitted.objective);
    }
  });
});

it('solves by Cholesky', () => {
  const A = [
    [4, 2, 0],
    [2, 5, 3],
    [0, 3, 6],
  ];
  const x = solve(A, [8, 21, 24]);
  [1, 2, 3].forEach((v, i) => expect(x[i]).toBeCloseTo(v, 12));
});
