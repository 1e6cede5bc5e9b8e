/** Okabe and Ito's palette, which colour-blind readers tell apart, and two more for ten classes.
 *  Colour is never the only sign of a class: its number always stands beside. */
const CLASSES = [
  '#0072b2',
  '#e69f00',
  '#009e73',
  '#cc79a7',
  '#56b4e9',
  '#d55e00',
  '#b8a900',
  '#8c8c8c',
  '#882255',
  '#44663b',
];

export const classColour = (k: number): string => CLASSES[k % CLASSES.length];

/** The background of a cell of value v in [−most, most]: blue above 0, orange below. */
export function cellColour(v: number, most = 1): string {
  const share = Math.min(1, Math.abs(v) / most);
  if (!(share > 0)) return 'transparent';
  return `color-mix(in srgb, var(${v > 0 ? '--positive' : '--negative'}) ${(100 * Math.sqrt(share) * 0.5).toFixed(1)}%, transparent)`;
}
