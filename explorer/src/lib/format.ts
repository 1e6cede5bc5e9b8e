const SUPERSCRIPT: Record<string, string> = {
  '-': '⁻',
  '0': '⁰',
  '1': '¹',
  '2': '²',
  '3': '³',
  '4': '⁴',
  '5': '⁵',
  '6': '⁶',
  '7': '⁷',
  '8': '⁸',
  '9': '⁹',
};

const parts = (x: number, digits: number): [string, string] | null => {
  const size = Math.abs(x);
  if (size === 0 || (size >= 0.5 * 10 ** -digits && size < 1e5)) return null;
  const [mantissa, exponent] = x.toExponential(Math.max(digits - 2, 1)).split('e');
  return [mantissa, String(Number(exponent))];
};

/** A number for the eye: fixed digits, or a power of ten where those would show nothing. */
export function shown(x: number, digits = 4): string {
  if (Number.isNaN(x)) return 'NaN';
  if (!Number.isFinite(x)) return x > 0 ? '∞' : '−∞';
  const power = parts(x, digits);
  const text = power
    ? `${power[0]}·10${[...power[1]].map((c) => SUPERSCRIPT[c]).join('')}`
    : x.toFixed(x === 0 || (Number.isInteger(x) && Math.abs(x) >= 1000) ? 0 : digits);
  return text.replace('-', '−');
}

/** The same number for KaTeX. */
export function tex(x: number, digits = 4): string {
  if (Number.isNaN(x)) return '\\mathrm{NaN}';
  if (!Number.isFinite(x)) return x > 0 ? '\\infty' : '-\\infty';
  const power = parts(x, digits);
  if (power) return `${power[0]}\\cdot 10^{${power[1]}}`;
  return x.toFixed(x === 0 ? 0 : digits);
}

/** The same number in brackets if it is negative, to stand after an operator. */
export const texFactor = (x: number, digits = 4): string => (x < 0 ? `(${tex(x, digits)})` : tex(x, digits));
