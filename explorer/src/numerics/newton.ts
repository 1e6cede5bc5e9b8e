/**
 * Softmax regression on a few points in two features, fitted to the last digits by Newton's method:
 * F(W, b) = (1/N) Σ ℓ_i + ‖W‖² / (2 C N), the objective of xent.SoftmaxRegression(C). Small and dense.
 */
import { softmaxLoss } from './batch';
import { hessian } from './hessian';
import { logSoftmax } from './softmax';

export type Point = { x: [number, number]; label: number };
export type Model = { W: [number, number][]; b: number[] };
export type Fit = Model & { objective: number; gradientNorm: number; iterations: number };

const WIDTH = 3; // two features and the intercept's 1

export function logits(model: Model, x: [number, number]): number[] {
  return model.W.map((w, k) => w[0] * x[0] + w[1] * x[1] + model.b[k]);
}

/** Where classes k and l tie: {x : w·x + c = 0}, whatever the temperature. */
export function boundary(model: Model, k: number, l: number): { w: [number, number]; c: number } {
  const [a, b] = [model.W[k], model.W[l]];
  return { w: [a[0] - b[0], a[1] - b[1]], c: model.b[k] - model.b[l] };
}

export function objective(model: Model, points: Point[], C: number): number {
  const losses = points.reduce((sum, p) => sum - logSoftmax(logits(model, p.x))[p.label], 0);
  const squares = model.W.reduce((sum, [u, v]) => sum + u * u + v * v, 0);
  return (losses + squares / (2 * C)) / points.length;
}

/** θ as a matrix with a row (w_k1, w_k2, b_k) for each class. */
const rowsOf = (theta: number[]): number[][] =>
  Array.from({ length: theta.length / WIDTH }, (_, k) => theta.slice(k * WIDTH, (k + 1) * WIDTH));

const unpack = (theta: number[]): Model => {
  const rows = rowsOf(theta);
  return { W: rows.map(([u, v]) => [u, v]), b: rows.map((row) => row[2]) };
};

/** Gradient and Hessian of N·F in θ, whose intercepts go with a feature that is 1 and are not penalised. */
function derivatives(theta: number[], points: Point[], C: number) {
  const X = points.map(({ x }) => [...x, 1]);
  const labels = points.map(({ label }) => label);
  const ones = points.map(() => 1);
  const { P, dW } = softmaxLoss(rowsOf(theta), X, labels, 0, ones);
  const gradient = dW.flat();
  const H = hessian(P, X, ones, 0);
  theta.forEach((v, i) => {
    if (i % WIDTH === 2) return;
    gradient[i] += v / C;
    H[i][i] += 1 / C;
  });
  // A constant added to every b_k changes nothing. This term holds Σ b_k where it is, at 0.
  for (let i = 2; i < theta.length; i += WIDTH) for (let j = 2; j < theta.length; j += WIDTH) H[i][j] += 1;
  return { gradient, hessian: H };
}

/** Solves A x = v for a symmetric positive definite A, by Cholesky's factors. */
export function solve(A: number[][], v: number[]): number[] {
  const n = v.length;
  const L = A.map((row) => [...row]);
  const x = [...v];
  for (let j = 0; j < n; j++) {
    for (let k = 0; k < j; k++) for (let i = j; i < n; i++) L[i][j] -= L[i][k] * L[j][k];
    const pivot = Math.sqrt(Math.max(L[j][j], Number.MIN_VALUE));
    for (let i = j; i < n; i++) L[i][j] /= pivot;
  }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] -= L[i][k] * x[k];
    x[i] /= L[i][i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] -= L[k][i] * x[k];
    x[i] /= L[i][i];
  }
  return x;
}

const largest = (v: number[]) => v.reduce((m, a) => Math.max(m, Math.abs(a)), 0);

/** The optimum, from zero or from where a neighbouring fit ended; K classes even where one has no point. */
export function fit(points: Point[], K: number, C: number, start?: Model): Fit {
  let theta = Array.from({ length: K * WIDTH }, (_, i) => {
    const [k, j] = [Math.floor(i / WIDTH), i % WIDTH];
    return start ? (j === 2 ? start.b[k] : start.W[k][j]) : 0;
  });
  let value = objective(unpack(theta), points, C);
  let last = Infinity;
  let iterations = 0;
  while (iterations < 100) {
    const { gradient, hessian } = derivatives(theta, points, C);
    const direction = solve(hessian, gradient);
    const size = largest(direction);
    // Rounding's floor: steps that no longer shrink, or no longer change anything.
    if (size <= 1e-16 * largest(theta) || (size < 1e-9 && size > last / 4)) break;
    last = size;
    let length = 1;
    let next = theta;
    for (; length > 1e-10; length /= 2) {
      next = theta.map((v, i) => v - length * direction[i]);
      // Near the end F is flat to its last bit, and Newton's full step is right.
      if (size < 1e-6 || objective(unpack(next), points, C) < value) break;
    }
    theta = next;
    value = objective(unpack(theta), points, C);
    iterations++;
  }
  const { gradient } = derivatives(theta, points, C);
  const norm = Math.hypot(...gradient) / points.length;
  return { ...unpack(theta), objective: value, gradientNorm: norm, iterations };
}
