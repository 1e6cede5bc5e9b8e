import { expect, it } from 'vitest';
import { shown, tex, texFactor } from './format';

it('shows fixed digits, or a power of ten where they would show nothing', () => {
  expect(shown(0.63806)).toBe('0.6381');
  expect(shown(-0.25)).toBe('−0.2500');
  expect(shown(0)).toBe('0');
  expect(shown(-0)).toBe('0');
  expect(shown(65504)).toBe('65504');
  expect(shown(1.5e-7)).toBe('1.50·10⁻⁷');
  expect(shown(-3.4028e38, 3)).toBe('−3.4·10³⁸');
  expect([shown(Infinity), shown(-Infinity), shown(NaN)]).toEqual(['∞', '−∞', 'NaN']);
});

it('writes the same for KaTeX', () => {
  expect(tex(1.5e-7)).toBe('1.50\\cdot 10^{-7}');
  expect(tex(-Infinity)).toBe('-\\infty');
  expect(texFactor(-0.25, 2)).toBe('(-0.25)');
});
