/** The one term that is not 0, at the label or away from it, as TeX: in letters and in the current numbers. */
import { tex, texFactor } from '../../lib/format';

export function collapseSteps(p: number[], J: number[][], dz: number[], y: number, j: number): string[] {
  const [entry, left] =
    j === y ? [`p_{${y}} (1 - p_{${y}})`, `p_{${y}} - 1`] : [`(-p_{${y}}\\, p_{${j}})`, `p_{${j}}`];
  return [
    `-\\frac{1}{p_{${y}}} \\cdot ${entry} = ${left}`,
    `-\\frac{1}{${tex(p[y])}} \\cdot ${texFactor(J[y][j])} = ${tex(dz[j])}`,
  ];
}
