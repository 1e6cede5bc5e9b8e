import { describe, expect, it } from 'vitest';
import vectors from '../../../tests/vectors/explorer.json';
import { allClose, close } from './close';
import * as losses from './losses';
import { softmax } from './softmax';

describe.each(vectors.losses)('$name', (c) => {
  const { logits: z, label: y } = c;

  it('cross-entropy and its gradients', () => {
    close(losses.crossEntropy(z, y), c.cross_entropy);
    allClose(losses.crossEntropyGradient(z, y), c.cross_entropy_gradient);
    allClose(losses.crossEntropyGradientP(softmax(z), y), c.cross_entropy_gradient_p);
  });

  it('squared error and its gradient', () => {
    close(losses.squaredError(z, y), c.squared_error);
    const p = softmax(z);
    losses.squaredErrorGradient(z, y).forEach((v, k) => {
      // p ∘ (g − ⟨p, g⟩) subtracts numbers of the size of ‖g‖.
      close(v, c.squared_error_gradient[k], p[k] * losses.norm(c.cross_entropy_gradient));
    });
  });
});

describe.each(vectors.descent)('$name', (c) => {
  it.each(['crossEntropy', 'squaredError'] as const)('descent on %s', (loss) => {
    const key = loss === 'crossEntropy' ? 'cross_entropy' : 'squared_error';
    const path = losses.descend(loss, c.logits, c.label, c.rate, 200);
    expect(path).toHaveLength(201);
    allClose(path[10], c.after_10[key], 1);
    allClose(path[200], c.after_200[key], 1);
  });
});

it('confidently wrong: one gradient is 0, the other √2', () => {
  close(losses.norm(losses.crossEntropyGradient([-50, 50, -50], 0)), Math.SQRT2);
  expect(losses.norm(losses.squaredErrorGradient([-50, 50, -50], 0))).toBeLessThan(1e-40);
});

it('confidently right: the digits of squared error are kept', () => {
  // (−6, 3, 3) ε² / (1 + 2ε)³, ε = exp(−50)
  const e2 = Math.exp(-100);
  allClose(losses.squaredErrorGradient([50, 0, 0], 0), [-6 * e2, 3 * e2, 3 * e2]);
});

it('a dense layer takes the outer product', () => {
  const { dW, db } = losses.denseGradients([1, -1], [2, 3]);
  expect(dW).toEqual([
    [2, 3],
    [-2, -3],
  ]);
  expect(db).toEqual([1, -1]);
});
