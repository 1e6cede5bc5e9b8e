import { expect, it } from 'vitest';
import { allClose } from '../../numerics/close';
import { HEIGHT, inside, lattice, SIDE, toPlane, toProbabilities } from './geometry';

it('goes to the plane and back', () => {
  for (const p of lattice(7)) allClose(toProbabilities(...toPlane(p)), p, 1);
});

it('has the label on top', () => {
  expect(toPlane([1, 0, 0])).toEqual([SIDE / 2, 0]);
  expect(toPlane([0, 1, 0])).toEqual([0, HEIGHT]);
  expect(toPlane([0, 0, 1])).toEqual([SIDE, HEIGHT]);
});

it('stays inside, where every class has a logit', () => {
  for (const [x, y] of [
    [-500, 0],
    [SIDE / 2, -90],
    [SIDE + 40, HEIGHT + 40],
  ]) {
    const p = toProbabilities(x, y);
    allClose([p[0] + p[1] + p[2]], [1]);
    expect(Math.min(...p)).toBeGreaterThan(0);
  }
  expect(inside([0.2, 0.3, 0.5])).toEqual([0.2, 0.3, 0.5]);
});
