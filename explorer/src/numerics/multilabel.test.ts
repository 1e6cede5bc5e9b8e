import { describe, expect, it } from 'vitest';
import vectors from '../../../tests/vectors/explorer.json';
import { crossEntropy, crossEntropyGradient } from './losses';
import * as m from './multilabel';

/** Off by 1e-12 of the exact value, or of `scale` where the definition itself subtracts numbers of that size. */
function close(got: number, want: number, scale = 0) {
  expect(Math.abs(got - want), `got ${got}, expected ${want}`).toBeLessThanOrEqual(
    1e-12 * Math.max(Math.abs(want), scale),
  );
}

describe.each(vectors.labels)('$name, smoothing $smoothing', (c) => {
  const z = c.logits.map((v) => v / c.temperature);

  it('smoothed label', () => {
    m.smoothedLabel(c.label, z.length, c.smoothing).forEach((v, k) => close(v, c.target[k]));
  });

  it('entropy, cross-entropy and divergence', () => {
    close(m.entropyOfLogits(z), c.entropy);
    close(m.entropy(c.target), c.target_entropy);
    close(crossEntropy(z, c.target), c.cross_entropy);
    crossEntropyGradient(z, c.target).forEach((v, k) => close(v, c.gradient[k], c.p[k] + c.target[k]));
    close(m.klDivergence(z, c.target), c.kl, c.cross_entropy);
  });

  it('the smooth maximum', () => close(m.smoothMaximum(c.logits, c.temperature), c.smooth_maximum));

  it('sigmoids, their losses and gradients', () => {
    z.forEach((v, k) => {
      close(m.sigmoid(v), c.sigmoid[k]);
      close(m.binaryCrossEntropy(v, c.several[k]), c.binary[k]);
      close(m.binaryCrossEntropyGradient(v, c.several[k]), c.binary_gradient[k]);
    });
  });
});

it('diverges from itself by 0, never by less', () => {
  for (let K = 2; K <= 10; K++)
    for (const smoothing of [0.05, 0.1, 0.3, 0.77, 1]) {
      const target = m.smoothedLabel(0, K, smoothing);
      const kl = m.klDivergence(target.map(Math.log), target);
      expect(kl).toBeGreaterThanOrEqual(0);
      expect(kl).toBeLessThan(1e-16);
    }
  close(m.klDivergence([0, 0, 0], [1, 0, 0]), Math.log(3));
});

it('is finite at the ends', () => {
  expect(m.sigmoid(-800)).toBe(0);
  expect(m.sigmoid(800)).toBe(1);
  expect(m.binaryCrossEntropy(800, 1)).toBe(0);
  expect(m.binaryCrossEntropy(800, 0)).toBe(800);
  expect(m.entropy([1, 0, 0])).toBe(0);
});
