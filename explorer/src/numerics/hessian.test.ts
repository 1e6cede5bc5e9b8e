import { describe, expect, it } from 'vitest';
import vectors from '../../../tests/vectors/explorer.json';
import { softmaxLoss } from './batch';
import { allClose, close } from './close';
import { alongLine, hessian, hessianVectorProduct, variance } from './hessian';
import { dot, scaled, square, symmetricEigenvalues, timesTransposed } from './matrix';

describe.each(vectors.hessian)('$name', ({ X, V, y, s, reg, ...c }) => {
  const { P } = softmaxLoss(scaled(c.size, c.W), X, y, reg);
  const H = hessian(P, X, s, reg);

  it('is the exact Hessian', () => H.forEach((row, r) => allClose(row, c.hessian[r], 1e-2)));

  it('has these eigenvalues', () => {
    const most = c.eigenvalues[0];
    symmetricEigenvalues(H).forEach((v, r) =>
      expect(Math.abs(v - c.eigenvalues[r])).toBeLessThanOrEqual(1e-14 * most),
    );
  });

  it('multiplies without being formed', () => {
    hessianVectorProduct(P, X, V, s, reg).forEach((row, k) => allClose(row, c.product[k], 1));
  });

  it('is a sum of variances in every direction', () => {
    const variances = timesTransposed(X, V).map((u, i) => s[i] * variance(P[i], u));
    const quadratic = dot(c.product.flat(), V.flat());
    close(variances.reduce((a, b) => a + b, 0) + reg * square(V), quadratic);
  });
});

describe.each(vectors.along)('along a line, $name', ({ W, V, X, y, reg, loss, at }) => {
  it.each(at)('t = $t', ({ t, ...want }) => {
    const kind = loss === 'cross_entropy' ? 'crossEntropy' : 'squaredError';
    const got = alongLine(kind, W, V, { X, y, s: [0.25, 0.25, 0.25, 0.25], reg }, t);
    close(got.value, want.value);
    close(got.slope, want.slope, 1);
    close(got.curvature, want.curvature, 1);
  });
});

it('finds eigenvalues of matrices that are known', () => {
  expect(symmetricEigenvalues([[2]])).toEqual([2]);
  allClose(
    symmetricEigenvalues([
      [1, 2],
      [2, 1],
    ]),
    [3, -1],
    1,
  );
  // The path of n points: 2 − 2 cos(π k / (n + 1)).
  const n = 9;
  const path = Array.from({ length: n }, (_, i) =>
    Array.from({ length: n }, (_, j) => (i === j ? 2 : Math.abs(i - j) === 1 ? -1 : 0)),
  );
  const known = Array.from({ length: n }, (_, k) => 2 - 2 * Math.cos((Math.PI * (n - k)) / (n + 1)));
  allClose(symmetricEigenvalues(path), known, 4);
  expect(symmetricEigenvalues(scaled(0, path))).toEqual(Array(n).fill(0));
});
