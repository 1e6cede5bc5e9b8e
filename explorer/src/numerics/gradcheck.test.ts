import { describe, expect, it } from 'vitest';
import vectors from '../../../tests/vectors/explorer.json';
import { EPSILON, bestStep, curve, error, lossIn, quotients, relativeError } from './gradcheck';
import type { Precision, Scheme } from './gradcheck';

const PRECISIONS: Precision[] = ['float64', 'float32'];
const SCHEMES: Scheme[] = ['centred', 'forward'];

/** What rounding can add: the losses' own, divided by the step, and that of z ± h, which moves the slope. */
function allowance(precision: Precision, z: number[], label: number, h: number, scale: number) {
  const eps = EPSILON[precision];
  const size = Math.max(...z) - Math.min(...z) + 1 + h + Math.abs(lossIn('float64', z, label));
  return (4 * eps * size) / (h * scale) + 4 * eps;
}

describe.each(vectors.gradcheck)('$name', (c) => {
  const scale = Math.max(...c.gradient.map(Math.abs));

  it.each(PRECISIONS)('errs by the formula, and by no more than rounding in %s', (precision) => {
    for (const scheme of SCHEMES) {
      const errors = curve(precision, scheme, c.logits, c.label, c.gradient, c.steps);
      errors.forEach((e, i) => {
        const most = allowance(precision, c.logits, c.label, c.steps[i], scale);
        expect(Math.abs(e - c[scheme][i]), `${scheme} at ${c.steps[i]}`).toBeLessThanOrEqual(most);
      });
    }
  });
});

it('has the foot of the V near the step that theory says', () => {
  const { logits, label, gradient } = vectors.gradcheck[0];
  for (const precision of PRECISIONS)
    for (const scheme of SCHEMES) {
      const at = (h: number) => error(gradient, quotients(precision, scheme, logits, label, h));
      const foot = Math.min(...[0.1, 0.3, 1, 3, 10].map((f) => at(f * bestStep(precision, scheme))));
      expect(foot).toBeLessThan(20 * EPSILON[precision] ** (scheme === 'centred' ? 2 / 3 : 1 / 2));
      expect(at(1)).toBeGreaterThan(30 * foot);
      expect(at(10 * EPSILON[precision])).toBeGreaterThan(30 * foot);
    }
});

it('keeps float32 in float32', () => {
  for (const q of quotients('float32', 'centred', [2, 1, 0.1, -1], 0, 1e-3)) expect(Math.fround(q)).toBe(q);
});

it('knows the relative error of two zeros for what it is', () => {
  expect(relativeError(0, 0)).toBeNaN();
  expect(relativeError(1, 1)).toBe(0);
  expect(relativeError(1e-9, 2e-9)).toBeCloseTo(1 / 3, 12);
});
