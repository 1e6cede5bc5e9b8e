import { describe, expect, it } from 'vitest';
import data from '../generated/training.json';
import * as m from './training';

const training = data as m.Training;

it('reads signed bytes', () => {
  expect([...m.bytes(btoa(String.fromCharCode(0, 1, 127, 128, 255)))]).toEqual([0, 1, 127, -128, -1]);
  const picture = { scale: 2, pixels: btoa(String.fromCharCode(127, 129, 0, 127)) };
  expect(m.templates(picture, 2)).toEqual([
    [2, -2],
    [0, 2],
  ]);
});

it('is certified', () => {
  expect(training.optimum.suboptimality).toBeLessThanOrEqual(1e-12);
});

it('tells the rates that are on their way from those at a noise floor', () => {
  const falling = training.runs.filter(m.stillFalls).map(({ rate }) => rate);
  expect(falling).toEqual([0.01, 0.03, 0.1, 0.3]);
});

describe.each(training.runs)('rate $rate', (run) => {
  it('starts where every class has probability 1/10', () => {
    expect(run.objective[0]).toBeCloseTo(Math.log(10), 12);
    expect(
      m
        .templates(run.templates[0], 10)
        .flat()
        .every((v) => v === 0),
    ).toBe(true);
  });

  it('never falls below the optimum', () => {
    for (const d of m.distances(run, training)) expect(d).toBeGreaterThan(0);
  });

  it('finds the place of a step', () => {
    run.step.forEach((s, i) => expect(m.placeOf(s, run)).toBe(i));
    expect(m.placeOf(1e9, run)).toBe(run.step.length - 1);
  });
});
