/** The softmax Jacobian diag(p) − pᵀp, its derivations and its spectrum. */
import { predict, sum } from './softmax';

/** ∂p_i/∂z_j = p_i (δ_ij − p_j); on the diagonal p_i times the sum of the others, which does not cancel. */
export function jacobian(p: number[]): number[][] {
  return p.map((pi, i) => p.map((pj, j) => (i === j ? pi * others(p, i) : -pi * pj)));
}

/** 1 − p_i, or S − e_i, without the cancellation. */
export const others = (p: number[], i: number) => p.reduce((total, v, k) => (k === i ? total : total + v), 0);

/** (diag(p) − pᵀp) v without the matrix: p ∘ (v − ⟨p, v⟩). It takes constants to 0, so v first loses its value
 *  where p is largest, which would cancel there. */
export function jacobianProduct(p: number[], v: number[]): number[] {
  const top = v[predict(p)];
  const mean = sum(p.map((pk, k) => pk * (v[k] - top)));
  return p.map((pk, k) => pk * (v[k] - top - mean));
}

/** The quotient rule's parts for the entry (i, j), with exponentials shifted by the largest logit. */
export function quotientRule(z: number[], i: number, j: number) {
  const m = Math.max(...z);
  const e = z.map((v) => Math.exp(v - m));
  const S = sum(e);
  const rest = others(e, i);
  const value = (i === j ? e[i] * rest : -e[i] * e[j]) / S ** 2;
  return { e, S, rest, value };
}

/** The logarithmic derivative's parts for the entry (i, j): ∂log p_i/∂z_j = δ_ij − p_j, times p_i. */
export function logDerivative(p: number[], i: number, j: number) {
  const dlog = i === j ? others(p, i) : -p[j];
  return { dlog, value: p[i] * dlog };
}

/** Eigenvalues of diag(p) − pᵀp, largest first. One is 0 (its vector is 1); of the others each lies between
 *  two neighbours of the sorted p, where Σ_i p_i / (p_i − λ) = 0, or is one that occurs twice. */
export function eigenvalues(p: number[]): number[] {
  const sorted = [...p].sort((a, b) => b - a);
  const secular = (lambda: number) => sum(sorted.map((v) => v / (v - lambda)));
  const between = (low: number, high: number) => {
    if (low === high) return low;
    for (;;) {
      const middle = low + (high - low) / 2;
      if (!(middle > low && middle < high)) return middle;
      if (secular(middle) < 0) low = middle;
      else high = middle;
    }
  };
  return [...sorted.slice(1).map((low, k) => between(low, sorted[k])), 0];
}

/** The numerical rank: how many eigenvalues exceed K ε λ₁. The exact one is K − 1 while every p > 0. */
export function rank(lambda: number[]): number {
  const most = Math.max(...lambda);
  return lambda.filter((v) => v > lambda.length * Number.EPSILON * most).length;
}
