/** Softmax in the formats of float64 and narrower: every operation exact, then rounded once to the format. */

export type Format = 'float64' | 'float32' | 'float16' | 'bfloat16' | 'e4m3' | 'e5m2';

/** Significant bits (with the hidden one), exponent of the least normal number, largest number. */
export type Shape = { bits: number; least: number; largest: number; hasInfinity: boolean };

const shape = (bits: number, least: number, largest: number, hasInfinity = true): Shape => ({
  bits,
  least,
  largest,
  hasInfinity,
});

export const FORMATS: Record<Format, Shape> = {
  float64: shape(53, -1022, Number.MAX_VALUE),
  float32: shape(24, -126, (2 - 2 ** -23) * 2 ** 127),
  float16: shape(11, -14, 65504),
  bfloat16: shape(8, -126, (2 - 2 ** -7) * 2 ** 127),
  e4m3: shape(4, -6, 448, false), // "fn": no infinity, what is too large is NaN
  e5m2: shape(3, -14, 57344),
};

export const NAMES = Object.keys(FORMATS) as Format[];

/** The least number above 0, a subnormal. */
export const smallest = ({ bits, least }: Shape): number => 2 ** (least - bits + 1);

/** The logarithm of what is rounded to more than the largest number: half a unit above that. In two parts, for
 *  float64's is no number. */
export const logOverflow = ({ bits, largest }: Shape): number =>
  Math.log(largest) + Math.log1p(2 ** (Math.floor(Math.log2(largest)) - bits) / largest);

/** The number of the format nearest to x, of two equally near the even one. */
export function round(x: number, format: Format): number {
  const { bits, least, largest, hasInfinity } = FORMATS[format];
  if (format === 'float64' || Number.isNaN(x) || x === 0) return x;
  const size = Math.abs(x);
  const rounded =
    size === Infinity ? size : toMultiple(size, 2 ** (Math.max(exponent(size), least) - bits + 1));
  const kept = rounded <= largest ? rounded : hasInfinity ? Infinity : NaN;
  return x < 0 ? -kept : kept;
}

/** The multiple of a power of two nearest to size, which is less than 2**51 of them. */
function toMultiple(size: number, unit: number): number {
  const EVEN = 2 ** 52; // beyond it float64 has integers only: adding it rounds to one, ties to even
  return (size / unit + EVEN - EVEN) * unit;
}

function exponent(size: number): number {
  const e = Math.floor(Math.log2(size)); // may be one off just beside a power of two
  return 2 ** e > size ? e - 1 : 2 ** (e + 1) <= size ? e + 1 : e;
}

/** Softmax and the loss step by step; `shifted` is `scaled` where the largest is not subtracted. */
export type Stages = {
  scaled: number[];
  max: number;
  shifted: number[];
  exp: number[];
  total: number;
  p: number[];
  lossFromP: number;
  lossFromLogits: number;
};

export function stages(z: number[], T: number, label: number, format: Format, shift: boolean): Stages {
  const r = (x: number) => round(x, format);
  const scaled = z.map((v) => r(r(v) / r(T)));
  const max = shift ? Math.max(...scaled) : 0;
  const shifted = shift ? scaled.map((v) => r(v - max)) : scaled;
  const exp = shifted.map((v) => r(Math.exp(v)));
  const total = exp.reduce((sum, v) => r(sum + v), 0);
  const p = exp.map((v) => r(v / total));
  return {
    ...{ scaled, max, shifted, exp, total, p },
    lossFromP: -r(Math.log(p[label])),
    lossFromLogits: r(r(Math.log(total)) - shifted[label]),
  };
}
