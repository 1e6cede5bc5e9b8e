import { describe, expect, it } from 'vitest';
import margins from '../../../tests/vectors/margins.json';
import vectors from '../../../tests/vectors/explorer.json';
import worked from '../../../tests/vectors/worked.json';
import { allClose, close } from './close';
import { crossEntropy, crossEntropyGradient } from './losses';
import { hardmax, logSoftmax, logSumExp, predict, softmax } from './softmax';

type Row = {
  name: string;
  logits: number[];
  label: number;
  loss: number;
  gradient: number[];
  p: number[];
  log_p: number[];
};

/** The library's own rows too, gaps of 1e4 among them. */
describe.each([...margins.cases, ...worked.cases] as Row[])('$name', (c) => {
  // z − m rounds by half an ulp of the gap, and exp makes a relative error of it.
  const gap = Math.max(...c.logits) - Math.min(...c.logits);
  const scale = (v: number) => Math.abs(v) * Math.max(1, (gap * 2 ** -53) / 1e-12);

  it('p, log p, loss and gradient', () => {
    softmax(c.logits).forEach((v, k) => close(v, c.p[k], scale(c.p[k])));
    logSoftmax(c.logits).forEach((v, k) => close(v, c.log_p[k], scale(c.log_p[k])));
    close(crossEntropy(c.logits, c.label), c.loss, scale(c.loss));
    crossEntropyGradient(c.logits, c.label).forEach((v, k) => close(v, c.gradient[k], scale(c.gradient[k])));
  });
});

describe.each(vectors.jacobian)('$name', (c) => {
  it('softmax at a temperature', () => allClose(softmax(c.logits, c.temperature), c.p));
});

it('hardmax takes the first of equals', () => {
  expect(predict([1, 3, 3])).toBe(1);
  expect(hardmax([1, 3, 3])).toEqual([0, 1, 0]);
});

it('log-sum-exp moves with its logits', () => {
  close(logSumExp([1000, 1000]), 1000 + Math.LN2);
  close(logSumExp([0, 0, 0]), Math.log(3));
});
