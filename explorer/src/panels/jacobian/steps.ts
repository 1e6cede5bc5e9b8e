/** The derivations of one entry as TeX, with the current numbers in them. */
import { tex, texFactor } from '../../lib/format';
import { logDerivative, others, quotientRule } from '../../numerics/jacobian';

const aligned = (left: string, ...right: string[]) =>
  `\\begin{aligned}${left} &= ${right.join('\\\\[4pt] &= ')}\\end{aligned}`;

const partial = (i: number, j: number) => `\\frac{\\partial p_{${i}}}{\\partial z_{${j}}}`;

export function quotientSteps(z: number[], p: number[], i: number, j: number): string[] {
  const { e, S, rest, value } = quotientRule(z, i, j);
  const [ei, ej, s] = [tex(e[i]), tex(e[j]), tex(S)];
  const above = i === j ? `e_{${i}} S - e_{${i}} e_{${i}}` : `0 \\cdot S - e_{${i}} e_{${j}}`;
  // S − e_i as the sum of the others, which keeps its digits.
  const factored = i === j ? [`\\frac{e_{${i}} (S - e_{${i}})}{S^2}`] : [];
  const numbers = i === j ? `${ei} \\cdot ${tex(rest)}` : `- ${ei} \\cdot ${ej}`;
  const short =
    i === j
      ? `p_{${i}} (1 - p_{${i}}) = ${tex(p[i])} \\cdot ${tex(others(p, i))}`
      : `-p_{${i}}\\, p_{${j}} = -${tex(p[i])} \\cdot ${tex(p[j])}`;
  const given = [`S &= ${s}`, `e_{${i}} &= ${ei}`, ...(i === j ? [] : [`e_{${j}} &= ${ej}`])];
  return [
    `\\begin{aligned}${given.join('\\\\')}\\end{aligned}`,
    aligned(
      partial(i, j),
      `\\frac{${above}}{S^2}`,
      ...factored,
      `\\frac{${numbers}}{${s}^2}`,
      tex(value),
      short,
    ),
  ];
}

export function logSteps(p: number[], i: number, j: number): string[] {
  const { dlog, value } = logDerivative(p, i, j);
  return [
    aligned(
      `\\frac{\\partial \\log p_{${i}}}{\\partial z_{${j}}}`,
      `\\delta_{${i}${j}} - p_{${j}}`,
      i === j ? `\\sum_{k \\ne ${i}} p_k = ${tex(dlog)}` : `0 - ${tex(p[j])} = ${tex(dlog)}`,
    ),
    aligned(
      partial(i, j),
      `p_{${i}} \\cdot \\frac{\\partial \\log p_{${i}}}{\\partial z_{${j}}}`,
      `${tex(p[i])} \\cdot ${texFactor(dlog)} = ${tex(value)}`,
    ),
  ];
}

/** diag(p) − pᵀp of four classes in letters, the entry (i, j) set off. */
export function symbolic(i: number, j: number): string {
  const rows = [0, 1, 2, 3].map((r) =>
    [0, 1, 2, 3]
      .map((c) => (r === c ? `p_{${r}}(1 - p_{${r}})` : `-p_{${r}} p_{${c}}`))
      .map((cell, c) => (r === i && c === j ? `\\boxed{${cell}}` : cell))
      .join(' & '),
  );
  return `J = \\begin{pmatrix}${rows.join('\\\\[3pt]')}\\end{pmatrix}`;
}
