import { expect } from 'vitest';

/** Off by at most 1e-12 of the exact value, or of `scale` where the formula subtracts numbers of that size. */
export function close(got: number, want: number, scale = 0) {
  if (Object.is(got, want)) return;
  const most = 1e-12 * Math.max(Math.abs(want), scale);
  expect(Math.abs(got - want), `got ${got}, expected ${want}`).toBeLessThanOrEqual(most);
}

export function allClose(got: number[], want: number[], scale = 0) {
  expect(got.length).toBe(want.length);
  got.forEach((v, k) => close(v, want[k], scale));
}

/** JSON knows no infinities and no NaN: they are strings in the vectors. */
export const number = (v: number | string): number => (typeof v === 'number' ? v : SPECIAL[v]);
const SPECIAL: Record<string, number> = { inf: Infinity, '-inf': -Infinity, nan: NaN };
