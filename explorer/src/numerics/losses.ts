/** Cross-entropy and squared error, their gradients, and descent on them, as xent.reference has them. */
import { jacobianProduct } from './jacobian';
import { logSoftmax, oneHot, predict, softmax, sum } from './softmax';

/** A class, or a row of probabilities. */
export type Target = number | number[];

const row = (y: Target, K: number): number[] => (typeof y === 'number' ? oneHot(y, K) : y);

/** −Σ_k y_k log p_k from the logits, 0 log 0 = 0. */
export function crossEntropy(z: number[], y: Target): number {
  const logs = logSoftmax(z);
  return row(y, z.length).reduce((total, share, k) => (share === 0 ? total : total - share * logs[k]), 0);
}

/** ∂L/∂z = p − y. Where y is largest, minus the sum of the other entries: the same number without 1 − 1. */
export function crossEntropyGradient(z: number[], y: Target): number[] {
  const Y = row(y, z.length);
  const mass = sum(Y);
  const top = predict(Y);
  const others = softmax(z).map((p, k) => (k === top ? 0 : p * mass - Y[k]));
  others[top] = -sum(others);
  return others;
}

/** ∂L/∂p = −y / p: −1/p_label at the label, else 0. */
export const crossEntropyGradientP = (p: number[], y: Target): number[] =>
  row(y, p.length).map((share, k) => (share === 0 ? 0 : -share / p[k]));

/** ½ Σ_k (p_k − y_k)². */
export const squaredError = (z: number[], y: Target): number =>
  0.5 * sum(crossEntropyGradient(z, y).map((g) => g * g));

/** ∂/∂z of it: (p − y)(diag(p) − pᵀp). */
export const squaredErrorGradient = (z: number[], y: Target): number[] =>
  jacobianProduct(softmax(z), crossEntropyGradient(z, y));

export type Loss = 'crossEntropy' | 'squaredError';
export const GRADIENT = { crossEntropy: crossEntropyGradient, squaredError: squaredErrorGradient };

/** Gradient descent on the logits: where each of `steps` steps of `rate` leads, the start first. */
export function descend(loss: Loss, z: number[], y: number, rate: number, steps: number): number[][] {
  const path = [z];
  for (let step = 0; step < steps; step++) {
    const at = path[step];
    const g = GRADIENT[loss](at, y);
    path.push(at.map((v, k) => v - rate * g[k]));
  }
  return path;
}

export const norm = (v: number[]): number => Math.hypot(...v);

/** Of a dense layer z = x Wᵀ + b and one row x: ∂L/∂W = gᵀ x and ∂L/∂b = g, with g = ∂L/∂z. */
export const denseGradients = (g: number[], x: number[]): { dW: number[][]; db: number[] } => ({
  dW: g.map((gk) => x.map((xj) => gk * xj)),
  db: g,
});
