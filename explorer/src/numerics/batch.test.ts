import { describe, expect, it } from 'vitest';
import vectors from '../../../tests/vectors/explorer.json';
import { BATCH, penalty, softmaxLoss, softmaxLossLoops } from './batch';
import { allClose, close } from './close';
import { furthest, scaled } from './matrix';

describe.each(vectors.batch)('$name', ({ X, W: unit, V, y, size, reg, ...c }) => {
  const W = scaled(size, unit);

  it('is of the numbers that the seed draws', () => expect({ X, W: unit, V, y }).toEqual(BATCH));

  it('is the exact loss, on whole matrices', () => {
    const got = softmaxLoss(W, X, y, reg);
    close(got.data, c.data);
    close(penalty(W, reg), c.penalty);
    close(got.loss, c.data + c.penalty);
    got.P.forEach((p, i) => allClose(p, c.P[i]));
    got.dW.forEach((row, k) => allClose(row, c.gradient[k], 1));
  });

  it('is the same in loops', () => {
    const got = softmaxLossLoops(W, X, y, reg, Infinity);
    expect(got.ended).toBe(true);
    close(got.loss, c.data + c.penalty);
    got.dW.forEach((row, k) => allClose(row, c.gradient[k], 1));
    expect(furthest(got.dW, softmaxLoss(W, X, y, reg).dW)).toBeLessThanOrEqual(1e-15);
  });
});

it('halts its loops where it is told to', () => {
  const { X, W, y } = BATCH;
  const at = (steps: number) => softmaxLossLoops(W, X, y, 0.1, steps);
  expect(at(0)).toEqual({ loss: 0, dW: W.map(() => [0, 0]), last: undefined, ended: false });
  const { P } = softmaxLoss(W, X, y, 0.1);
  const three = at(3); // row 0, classes 0, 1 and 2
  expect(three.last).toMatchObject({ i: 0, k: 2 });
  close(three.last!.error, P[0][2]);
  close(three.dW[1][0], ((P[0][1] - 1) * X[0][0]) / 4);
  expect(
    three.dW
      .slice(3)
      .flat()
      .every((v) => v === 0),
  ).toBe(true);
  expect(at(8).last).toMatchObject({ i: 1, k: 0 });
  expect([at(28).ended, at(29).ended]).toEqual([false, true]);
});
