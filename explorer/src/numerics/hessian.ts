/** The second order of a batch's loss in W (K, D), as xent.reference has it, and both losses along a line. */
import { penalty } from './batch';
import { jacobian, jacobianProduct } from './jacobian';
import { GRADIENT, crossEntropy, type Loss, squaredError } from './losses';
import { dot, plus, square, timesTransposed, transposed } from './matrix';
import { softmax, sum } from './softmax';

/** H = Σ_i s_i (diag p_i − p_iᵀp_i) ⊗ x_iᵀx_i + reg · 1, (K·D, K·D), rows in the order of W's entries. */
export function hessian(P: number[][], X: number[][], s: number[], reg: number): number[][] {
  const [K, D] = [P[0].length, X[0].length];
  const H = Array.from({ length: K * D }, (_, r) =>
    Array.from({ length: K * D }, (_, c) => (r === c ? reg : 0)),
  );
  P.forEach((p, i) => {
    const J = jacobian(p);
    H.forEach((row, r) => {
      const [k, d] = [Math.floor(r / D), r % D];
      row.forEach((_, c) => {
        const [l, e] = [Math.floor(c / D), c % D];
        row[c] += s[i] * J[k][l] * X[i][d] * X[i][e];
      });
    });
  });
  return H;
}

/** H V for V (K, D) without H: Σ_i s_i [(diag p_i − p_iᵀp_i) V x_i] x_i + reg V. */
export function hessianVectorProduct(
  P: number[][],
  X: number[][],
  V: number[][],
  s: number[],
  reg: number,
): number[][] {
  const U = timesTransposed(X, V).map((u, i) => jacobianProduct(P[i], u).map((v) => s[i] * v));
  return plus(reg, V, timesTransposed(transposed(U), transposed(X)));
}

/** vᵀ(diag p − pᵀp)v: the variance of v if k has probability p_k. */
export function variance(p: number[], v: number[]): number {
  const mean = dot(p, v);
  return sum(p.map((pk, k) => pk * (v[k] - mean) ** 2));
}

export type Batch = { X: number[][]; y: number[]; s: number[]; reg: number };

/** The value, slope and curvature in t of Σ s_i loss(x_i (W + tV)ᵀ, y_i) + ½ reg ‖W + tV‖². */
export function alongLine(loss: Loss, W: number[][], V: number[][], { X, y, s, reg }: Batch, t: number) {
  const at = plus(t, V, W);
  const Z = timesTransposed(X, at);
  const U = timesTransposed(X, V);
  const value = loss === 'crossEntropy' ? crossEntropy : squaredError;
  const bend = loss === 'crossEntropy' ? crossEntropyBend : squaredErrorBend;
  const total = (f: (z: number[], label: number, u: number[]) => number) =>
    sum(Z.map((z, i) => s[i] * f(z, y[i], U[i])));
  return {
    value: total(value) + penalty(at, reg),
    slope: total((z, label, u) => dot(GRADIENT[loss](z, label), u)) + reg * dot(at.flat(), V.flat()),
    curvature: total(bend) + reg * square(V),
  };
}

const crossEntropyBend = (z: number[], _: number, u: number[]) => variance(softmax(z), u);

/** d²/dt² ½‖p(z + tu) − y‖² at t = 0: ‖p′‖² + ⟨p − y, p″⟩, with p′ = p ∘ a, a = u − ⟨p, u⟩ and
 *  p″ = p ∘ (a² − ⟨p, a²⟩). The second term may be negative. */
function squaredErrorBend(z: number[], label: number, u: number[]): number {
  const p = softmax(z);
  const first = jacobianProduct(p, u);
  const mean = dot(p, u);
  const second = jacobianProduct(
    p,
    u.map((v) => (v - mean) ** 2),
  );
  return dot(first, first) + dot(GRADIENT.crossEntropy(z, label), second);
}
