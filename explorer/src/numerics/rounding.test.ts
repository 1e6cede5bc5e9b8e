import { describe, expect, it } from 'vitest';
import vectors from '../../../tests/vectors/explorer.json';
import { close, number } from './close';
import { type Format, FORMATS, logOverflow, round, smallest, stages } from './rounding';

/** Bits of the exponent, and of the significand without the hidden one. */
const FIELDS: Record<string, [number, number]> = {
  float32: [8, 23],
  float16: [5, 10],
  bfloat16: [8, 7],
  e4m3: [4, 3],
  e5m2: [5, 2],
};

function decoded(pattern: number, format: string): number {
  const [E, M] = FIELDS[format];
  const sign = pattern >= 2 ** (E + M) ? -1 : 1;
  const exponent = Math.floor(pattern / 2 ** M) % 2 ** E;
  const fraction = (pattern % 2 ** M) / 2 ** M;
  const top = 2 ** E - 1;
  if (format === 'e4m3' ? exponent === top && fraction === 7 / 8 : exponent === top && fraction > 0)
    return NaN;
  if (exponent === top && format !== 'e4m3') return sign * Infinity;
  const bias = 2 ** (E - 1) - 1;
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}

describe.each(vectors.rounding)('$name', (c) => {
  const format = c.name as Format;
  const digits = c.bits.length / c.count;
  const patterns = Array.from({ length: c.count }, (_, k) => c.bits.slice(k * digits, (k + 1) * digits));

  it('rounds as ml_dtypes does, bit by bit', () => {
    patterns.forEach((pattern, k) => {
      const significand = 1 + ((k * c.multiplier) % 2 ** c.fraction) / 2 ** c.fraction;
      const x = (k % 2 ? -1 : 1) * significand * 2 ** (c.least + (k % c.span));
      const want = decoded(parseInt(pattern, 16), format);
      expect(Object.is(round(x, format), want), `${x}: got ${round(x, format)}, expected ${want}`).toBe(true);
    });
  });

  it('keeps every number of the format', () => {
    const all =
      digits === 8 ? patterns.map((p) => parseInt(p, 16)) : Array.from({ length: 16 ** digits }, (_, n) => n);
    for (const n of all) {
      const x = decoded(n, format);
      expect(Object.is(round(x, format), x), `${x}`).toBe(true);
    }
  });

  it('knows the least and the largest number', () => {
    const { largest } = FORMATS[format];
    expect(smallest(FORMATS[format])).toBe(decoded(1, format));
    expect(round(largest, format)).toBe(largest);
    expect(Number.isFinite(round(largest * 1.5, format))).toBe(false);
  });
});

it.each(['float32', 'float16', 'bfloat16', 'e4m3', 'e5m2'] as const)(
  '%s overflows where it says',
  (format) => {
    const limit = Math.exp(logOverflow(FORMATS[format]));
    expect(round(limit * (1 - 1e-10), format)).toBe(FORMATS[format].largest);
    expect(Number.isFinite(round(limit * (1 + 1e-10), format))).toBe(false);
  },
);

it('rounds to float32 as the engine does', () => {
  for (let k = 1; k < 5000; k++) {
    const x = Math.sin(k) * 10 ** ((k % 90) - 46);
    expect(Object.is(round(x, 'float32'), Math.fround(x)), String(x)).toBe(true);
  }
});

describe.each(vectors.stages)('$name', (c) => {
  it('gives the same numbers at every step', () => {
    const got = stages(c.logits, c.temperature, c.label, c.format as Format, c.shift);
    const pairs: [number, number | string][] = [
      ...got.exp.map((v, k) => [v, c.exp[k]] as [number, number | string]),
      ...got.p.map((v, k) => [v, c.p[k]] as [number, number | string]),
      [got.total, c.total],
      [got.lossFromP, c.loss_from_p],
      [got.lossFromLogits, c.loss_from_logits],
    ];
    for (const [value, want] of pairs) {
      if (c.format === 'float64') close(value, number(want), c.logits.length);
      else expect(value + 0, JSON.stringify(c)).toBe(number(want) + 0);
    }
  });
});
