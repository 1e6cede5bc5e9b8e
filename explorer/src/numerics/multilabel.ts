/** Several-of-K labels, and what of soft labels is information theory. Losses in nats. */
import { logSoftmax } from './softmax';

/** 1 / (1 + exp(−z)), which never overflows. */
export function sigmoid(z: number): number {
  const e = Math.exp(-Math.abs(z));
  return z >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/** log(1 + exp z). */
export function softplus(z: number): number {
  return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
}

/** −y log σ(z) − (1 − y) log(1 − σ(z)) of one label y in [0, 1]. */
export function binaryCrossEntropy(z: number, y: number): number {
  return (y === 1 ? 0 : (1 - y) * softplus(z)) + (y === 0 ? 0 : y * softplus(-z));
}

/** Its derivative σ(z) − y, without the cancellation of a confident and right label. */
export function binaryCrossEntropyGradient(z: number, y: number): number {
  return (1 - y) * sigmoid(z) - y * sigmoid(-z);
}

/** H(p) = −Σ p log p, with 0 log 0 = 0. */
export function entropy(p: number[]): number {
  return p.reduce((sum, v) => sum - (v === 0 ? 0 : v * Math.log(v)), 0);
}

/** H(softmax(z)) = −Σ p log p from the logits, where log p keeps the digits that log(p) would lose. */
export function entropyOfLogits(z: number[]): number {
  return logSoftmax(z).reduce((sum, v) => sum - (v === -Infinity ? 0 : Math.exp(v) * v), 0);
}

/** KL(y‖p) = Σ y (log y − log p), p = softmax(z): as Σ y (r − 1 − log r), r = p / y, no term of which is
 *  negative, for Σ y (r − 1) = 0. */
export function klDivergence(z: number[], target: number[]): number {
  const logs = logSoftmax(z);
  return target.reduce((sum, y, k) => {
    if (y === 0) return sum + Math.exp(logs[k]);
    const logr = logs[k] - Math.log(y);
    return sum + Math.max(0, y * (Math.expm1(logr) - logr));
  }, 0);
}

/** (1 − smoothing) one-hot + smoothing / K. */
export function smoothedLabel(label: number, K: number, smoothing: number): number[] {
  return Array.from({ length: K }, (_, k) => smoothing / K + (k === label ? 1 - smoothing : 0));
}

/** T log Σ exp(z / T): between max z and max z + T log K, so max z as T → 0. */
export function smoothMaximum(z: number[], temperature: number): number {
  const top = Math.max(...z);
  const first = z.indexOf(top);
  const rest = z.reduce((sum, v, k) => (k === first ? sum : sum + Math.exp((v - top) / temperature)), 0);
  return top + temperature * Math.log1p(rest);
}
