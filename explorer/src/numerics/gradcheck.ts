/** The gradient check: difference quotients of the cross-entropy of logits, in float64 or float32. */

export type Precision = 'float64' | 'float32';
export type Scheme = 'centred' | 'forward';

const ROUND: Record<Precision, (x: number) => number> = { float64: (x) => x, float32: Math.fround };

export const EPSILON: Record<Precision, number> = { float64: 2 ** -52, float32: 2 ** -23 };

/** ℓ(z) = log Σ exp(z_k − m) − (z_label − m), rounded after every operation as xent.reference computes it. */
export function lossIn(precision: Precision, z: number[], label: number): number {
  const r = ROUND[precision];
  const top = Math.max(...z);
  const first = z.indexOf(top);
  const rest = z.reduce((sum, v, k) => (k === first ? sum : r(sum + r(Math.exp(r(v - top))))), 0);
  return r(r(Math.log1p(rest)) - r(z[label] - top));
}

/** (f(z + h e_k) − f(z − h e_k)) / 2h or (f(z + h e_k) − f(z)) / h, for every k. */
export function quotients(
  precision: Precision,
  scheme: Scheme,
  z: number[],
  label: number,
  step: number,
): number[] {
  const r = ROUND[precision];
  const at = z.map(r);
  const h = r(step);
  const moved = (k: number, by: number) =>
    lossIn(
      precision,
      at.map((v, j) => (j === k ? r(v + by) : v)),
      label,
    );
  const here = lossIn(precision, at, label);
  return at.map((_, k) => {
    const back = scheme === 'centred' ? moved(k, -h) : here;
    return r(r(moved(k, h) - back) / (scheme === 'centred' ? 2 * h : h));
  });
}

/** max_k |g_k − q_k| / max_k |g_k|, as xent.reference.gradient_errors has it. */
export function error(gradient: number[], numerical: number[]): number {
  const scale = Math.max(...gradient.map(Math.abs)) || 1;
  return Math.max(...gradient.map((g, k) => Math.abs(g - numerical[k]))) / scale;
}

/** |g − q| / (|g| + |q|) for one entry: what many a course prints, and 0/0 where both are zero. */
export function relativeError(g: number, q: number): number {
  return Math.abs(g - q) / (Math.abs(g) + Math.abs(q));
}

/** The V-curve: the error at each step. */
export function curve(
  precision: Precision,
  scheme: Scheme,
  z: number[],
  label: number,
  gradient: number[],
  steps: number[],
): number[] {
  return steps.map((h) => error(gradient, quotients(precision, scheme, z, label, h)));
}

/** The step that balances h² (or h) from the formula against ε/h from rounding. */
export function bestStep(precision: Precision, scheme: Scheme): number {
  return EPSILON[precision] ** (scheme === 'centred' ? 1 / 3 : 1 / 2);
}
