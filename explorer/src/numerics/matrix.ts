/** Small dense matrices, as arrays of rows. */
import { sum } from './softmax';

export const dot = (a: number[], b: number[]): number => sum(a.map((v, i) => v * b[i]));

export const transposed = (A: number[][]): number[][] => A[0].map((_, j) => A.map((row) => row[j]));

/** A Bᵀ: rows against rows, as a dense layer X Wᵀ has them. */
export const timesTransposed = (A: number[][], B: number[][]): number[][] =>
  A.map((row) => B.map((other) => dot(row, other)));

/** a A + B. */
export const plus = (a: number, A: number[][], B: number[][]): number[][] =>
  A.map((row, i) => row.map((v, j) => a * v + B[i][j]));

export const scaled = (a: number, A: number[][]): number[][] => A.map((row) => row.map((v) => a * v));

/** Σ a². */
export const square = (A: number[][]): number => sum(A.flat().map((v) => v * v));

/** max |a − b|. */
export const furthest = (A: number[][], B: number[][]): number =>
  Math.max(...A.flatMap((row, i) => row.map((v, j) => Math.abs(v - B[i][j]))));

/** All eigenvalues of a symmetric matrix, the largest first, by Jacobi's rotations: each makes one pair of
 *  entries off the diagonal 0. They are right to rounding of the largest. */
export function symmetricEigenvalues(A: number[][]): number[] {
  const S = A.map((row) => [...row]);
  const n = S.length;
  const SWEEPS = 30; // six or seven do
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let rotated = false;
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        const off = S[p][q];
        const size = Math.sqrt(Math.abs(S[p][p] * S[q][q]));
        if (Math.abs(off) <= Number.EPSILON * Math.max(size, Number.EPSILON * Math.abs(S[0][0]))) continue;
        rotated = true;
        rotate(S, p, q);
      }
    if (!rotated) break;
  }
  return S.map((row, i) => row[i]).sort((a, b) => b - a);
}

function rotate(S: number[][], p: number, q: number) {
  const theta = (S[q][q] - S[p][p]) / (2 * S[p][q]);
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
  const c = 1 / Math.hypot(t, 1);
  const s = t * c;
  for (let k = 0; k < S.length; k++) {
    const [a, b] = [S[k][p], S[k][q]];
    S[k][p] = c * a - s * b;
    S[k][q] = s * a + c * b;
  }
  for (let k = 0; k < S.length; k++) {
    const [a, b] = [S[p][k], S[q][k]];
    S[p][k] = c * a - s * b;
    S[q][k] = s * a + c * b;
  }
  S[p][q] = S[q][p] = 0;
}
