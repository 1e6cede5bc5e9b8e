/** Softmax and its relatives as xent.reference has them: the same formulas, held to the same numbers. */

/** The largest logit m, exp(z − m), and log1p(R), R the sum over all classes but the (first) largest. */
function shifted(z: number[]): { m: number; e: number[]; log1pRest: number } {
  const m = Math.max(...z);
  const e = z.map((v) => Math.exp(v - m));
  const top = z.indexOf(m);
  const rest = e.reduce((sum, v, k) => (k === top ? sum : sum + v), 0);
  return { m, e, log1pRest: Math.log1p(rest) };
}

export const sum = (values: number[]): number => values.reduce((total, v) => total + v, 0);

/** p_k = exp(z_k / T) / Σ_j exp(z_j / T). */
export function softmax(z: number[], T = 1): number[] {
  const { e } = shifted(z.map((v) => v / T));
  const S = sum(e);
  return e.map((v) => v / S);
}

/** log p_k, finite wherever the logits are. */
export function logSoftmax(z: number[]): number[] {
  const { m, log1pRest } = shifted(z);
  return z.map((v) => v - m - log1pRest);
}

/** log Σ_k exp z_k. */
export function logSumExp(z: number[]): number {
  const { m, log1pRest } = shifted(z);
  return m + log1pRest;
}

/** The largest logit's class, the first of equals. */
export const predict = (z: number[]): number => z.indexOf(Math.max(...z));

/** One at the largest logit, else 0. */
export const hardmax = (z: number[]): number[] => oneHot(predict(z), z.length);

export const oneHot = (y: number, K: number): number[] =>
  Array.from({ length: K }, (_, k) => (k === y ? 1 : 0));
