/** The one term that is not 0, at the label or away from it, as TeX: in letters and in the current numbers. */
import { tex, texFactor } from '../../lib/format';

export function collapseSteps(p: number[], J: number[][], dz: number[], y: number, j: number): string[] {
  const [entry, left] =
    j === y ? [`p_{${y}} (1 - p_{${y}})`, `p_{${y}} - 1`] : [`(-p_{${y}}\\, p_{${j}})`, `p_{${j}}`];
  // Where 1/p_y is ∞ there is nothing to equal p − y.
  const result = Number.isFinite(1 / p[y]) ? ` = ${tex(dz[j])}` : '';
  return [
    `-\\frac{1}{p_{${y}}} \\cdot ${entry} = ${left}`,
    `-\\frac{1}{${tex(p[y])}} \\cdot ${texFactor(J[y][j])}${result}`,
  ];
}
