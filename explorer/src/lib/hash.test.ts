import { describe, expect, it } from 'vitest';
import { declared, fromHash, initial, MAX_CLASSES, ownOf, toHash } from './hash';

it('goes to the URL and back, every digit kept', () => {
  const state = { z: [0.1 + 0.2, -1e-9, 1e4, 0], y: 3, T: 0.05, lang: 'zh' as const, panel: 'simplex' };
  expect(fromHash(toHash({ ...state, own: {} }))).toEqual(state);
  expect(toHash(initial())).toBe('#z=2,1,0.1,-1&y=0&T=1&lang=en&panel=rounding');
});

describe('what makes no sense is left out', () => {
  const many = Array(MAX_CLASSES + 1)
    .fill(0)
    .join(',');
  it.each([
    '',
    '#',
    '#z=1',
    `#z=${many}`,
    '#z=1,x',
    '#z=1,',
    '#z=1,Infinity',
    '#z=1e308,0',
    '#z=0,-1000001',
    '#T=0',
    '#T=1e9',
    '#lang=fr',
    '#panel=x',
  ])('%s', (hash) => expect(fromHash(hash)).toEqual({}));

  it('a label that there is no class for', () => {
    expect(fromHash('#y=4')).toEqual({});
    expect(fromHash('#z=1,2&y=2')).toEqual({ z: [1, 2], y: 0 });
    expect(fromHash('#y=3', 2)).toEqual({});
    expect(fromHash('#y=5', 6)).toEqual({ y: 5 });
    expect(fromHash('#z=1,2&y=5', 6)).toEqual({ z: [1, 2], y: 0 });
    expect(fromHash('#z=1,2&y=1.5')).toEqual({ z: [1, 2], y: 0 });
  });
});

it('holds the settings of the panel that is open, as far as they make sense', () => {
  declared.set('rounding.format', (text) => ['float16', 'e4m3'].includes(text));
  const at = (panel: string, own: Record<string, string>) =>
    toHash({ ...initial(), panel, own: { rounding: own } });
  expect(at('rounding', { format: 'e4m3' })).toMatch(/&panel=rounding&format=e4m3$/);
  expect(at('rounding', { format: 'e9m9', colour: 'red' })).toMatch(/&panel=rounding$/);
  expect(at('labels', { format: 'e4m3' })).toMatch(/&panel=labels$/);
  expect(ownOf('#z=1,2&panel=rounding&format=e4m3&step=-3')).toEqual({ format: 'e4m3', step: '-3' });
});
