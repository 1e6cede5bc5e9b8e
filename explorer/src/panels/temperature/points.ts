import type { Point } from '../../numerics/newton';

const rows: [number, number, number][] = [
  [-1.5, 0.75, 0],
  [-1.0, 1.25, 0],
  [-0.5, 0.5, 0],
  [-1.25, 0.0, 0],
  [0.5, 0.25, 0],
  [1.25, 1.0, 1],
  [0.75, 0.5, 1],
  [1.5, 0.25, 1],
  [0.25, 1.25, 1],
  [-0.25, 0.25, 1],
  [0.0, -1.0, 2],
  [-0.5, -0.75, 2],
  [0.75, -1.25, 2],
  [0.25, -0.25, 2],
  [1.0, -0.5, 2],
];

/** Three groups, the nearest points of which mix: those of tests/vectors. */
export const points = (): Point[] => rows.map(([x, y, label]) => ({ x: [x, y], label }));
