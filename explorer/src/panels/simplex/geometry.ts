/** The triangle of three probabilities: the label's corner on top, the others left and right below. */
export const SIDE = 300;
export const HEIGHT = (SIDE * Math.sqrt(3)) / 2;

/** Corners in the order of the probabilities. */
const CORNERS: [number, number][] = [
  [SIDE / 2, 0],
  [0, HEIGHT],
  [SIDE, HEIGHT],
];

/** A point for probabilities, and a displacement for a vector whose entries sum to 0. */
export const toPlane = (p: number[]): [number, number] => [
  p.reduce((x, v, k) => x + v * CORNERS[k][0], 0),
  p.reduce((y, v, k) => y + v * CORNERS[k][1], 0),
];

// A probability of 0 has no logit: the point stays this far inside.
const LEAST = 1e-4;

/** Probabilities of a point of the plane, of the nearest inside if it lies outside. */
export function toProbabilities(x: number, y: number): number[] {
  const top = 1 - y / HEIGHT;
  const right = x / SIDE - top / 2;
  return inside([top, 1 - top - right, right]);
}

export function inside(p: number[]): number[] {
  const kept = p.map((v) => Math.max(v, LEAST));
  const total = kept[0] + kept[1] + kept[2];
  return kept.map((v) => v / total);
}

/** Points spread evenly over the triangle, none on its border. */
export function lattice(n: number): number[][] {
  const points: number[][] = [];
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n - i; j++) {
      points.push([(i + 1 / 3) / n, (j + 1 / 3) / n, 1 - (i + j + 2 / 3) / n]);
    }
  }
  return points;
}
