import { describe, expect, it } from 'vitest';
import vectors from '../../../tests/vectors/explorer.json';
import { allClose, close } from './close';
import { eigenvalues, jacobian, jacobianProduct, logDerivative, quotientRule, rank } from './jacobian';
import { softmax, sum } from './softmax';

describe.each(vectors.jacobian)('$name', (c) => {
  const z = c.logits.map((v) => v / c.temperature);
  const p = softmax(z);
  const J = jacobian(p);

  it('is the exact one, entry by entry', () => J.forEach((row, i) => allClose(row, c.jacobian[i])));

  it('comes out of both derivations', () => {
    c.jacobian.forEach((row, i) =>
      row.forEach((want, j) => {
        close(quotientRule(z, i, j).value, want);
        close(logDerivative(p, i, j).value, want);
      }),
    );
  });

  it('has rows that sum to 0, and multiplies without being formed', () => {
    for (const row of J) expect(Math.abs(sum(row))).toBeLessThanOrEqual(1e-16);
    const v = p.map((_, k) => Math.cos(k));
    J.forEach((row, i) => close(jacobianProduct(p, v)[i], sum(row.map((a, k) => a * v[k])), p[i]));
  });

  it('has these eigenvalues, one of them 0', () => {
    allClose(eigenvalues(p), c.eigenvalues);
    expect(eigenvalues(p).at(-1)).toBe(0);
  });
});

it('is derived without cancellation where one probability is all but 1', () => {
  const z = [50, 0, 0];
  const p = softmax(z);
  const want = 2 * Math.exp(-50);
  for (const got of [jacobian(p)[0][0], quotientRule(z, 0, 0).value, logDerivative(p, 0, 0).value])
    close(got, want);
});

it('has rank K − 1, and less only where probabilities vanish', () => {
  expect(rank(eigenvalues(softmax([2, 1, 0.1, -1])))).toBe(3);
  expect(rank(eigenvalues([0.25, 0.25, 0.25, 0.25]))).toBe(3);
  expect(rank(eigenvalues([1, 0, 0]))).toBe(0);
});
