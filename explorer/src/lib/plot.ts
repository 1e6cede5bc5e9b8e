import { shown } from './format';

/** A line of a plot; faint ones stand for the others and have no place in the legend. */
export type Line = {
  name: string;
  x: number[];
  y: number[];
  colour?: string;
  dash?: string;
  faint?: boolean;
  strong?: boolean;
};

/** What an axis spans and measures. */
export type Range = { domain: [number, number]; name: string; log?: boolean; ticks?: number };

const DIGITS = '⁰¹²³⁴⁵⁶⁷⁸⁹';

/** A power of ten as 10ⁿ; 0.01 to 100 as they are. */
export function power(x: number): string {
  const n = Math.round(Math.log10(x));
  if (n >= -2 && n <= 2) return String(Number(x.toPrecision(3)));
  return '10' + [...String(n)].map((c) => (c === '-' ? '⁻' : DIGITS[Number(c)])).join('');
}

/** `count` numbers from 10^first to 10^last, evenly spaced in their logarithms. */
export const logspace = (first: number, last: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => 10 ** (first + ((last - first) * i) / (count - 1)));

/** A class as an index: 3 as ₃. */
export const subscript = (k: number): string => String.fromCharCode(0x2080 + k);

/** Rates, steps and temperatures: a plain number of few digits. */
export const plain = (x: number, digits = 3): string =>
  Math.abs(x) >= 1e-3 && Math.abs(x) < 1e4 ? String(Number(x.toPrecision(digits))) : shown(x, digits);
