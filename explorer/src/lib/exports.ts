/** The current example as text to take away: a Python script, or LaTeX. */
import { jacobian } from '../numerics/jacobian';
import { crossEntropy, crossEntropyGradient } from '../numerics/losses';
import { softmax } from '../numerics/softmax';
import { tex } from './format';

export type Example = { z: number[]; y: number; T: number };
export type Kind = 'numpy' | 'pytorch' | 'xent' | 'latex';

const list = (values: number[]) =>
  `[${values.map((v) => (Number.isInteger(v) && Math.abs(v) < 1e15 ? `${v}.0` : String(v))).join(', ')}]`;

/** What the page shows, for whoever runs the script to compare. */
const shownHere = ({ z, y, T }: Example) =>
  `# the page: loss ${crossEntropy(
    z.map((v) => v / T),
    y,
  )}`;

const numpy = (example: Example) => `import numpy as np

z = np.array(${list(example.z)}) / ${example.T}  # logits over the temperature
y = ${example.y}  # label

e = np.exp(z - z.max())  # shifted: nothing overflows
p = e / e.sum()
rest = np.delete(e, z.argmax()).sum()  # all but the largest, which is 1
loss = np.log1p(rest) - (z[y] - z.max())  # -log p[y], without a logarithm of 0
gradient = p - np.eye(len(z))[y]  # with respect to z
gradient[y] = -np.delete(p, y).sum()  # the same number without 1 - 1
apart = 1 - np.eye(len(z))
jacobian = np.diag(p * (apart @ p)) - apart * np.outer(p, p)  # diag(p) - pᵀp

print(p, loss, gradient, jacobian, sep="\\n")
${shownHere(example)}
`;

const pytorch = (example: Example) => `import torch
from torch.nn.functional import cross_entropy, softmax

z = torch.tensor(${list(example.z)}, dtype=torch.float64) / ${example.T}  # logits over the temperature
z.requires_grad_()
y = torch.tensor(${example.y})  # label

loss = cross_entropy(z, y)  # takes logits, not probabilities
loss.backward()
p = softmax(z, dim=0)
jacobian = torch.autograd.functional.jacobian(lambda v: softmax(v, dim=0), z.detach())

print(p.detach(), loss.item(), z.grad, jacobian, sep="\\n")  # z.grad is p - y
# What differs from the page in a confident example is rounding: log(1 + tiny), and 1 - 1.
${shownHere(example)}
`;

const xent = (example: Example) => `import numpy as np
from xent import reference

z = np.array(${list(example.z)}) / ${example.T}  # logits over the temperature
y = np.array(${example.y})  # label

p = reference.softmax(z)
loss = reference.cross_entropy(z, y)
gradient = reference.cross_entropy_gradient(z, y)  # p - y
jacobian = reference.softmax_jacobian(p)

print(p, loss, gradient, jacobian, sep="\\n")
${shownHere(example)}
`;

/** All digits of a number, for LaTeX. */
const exact = (v: number) => String(v).replace(/e\+?(-?\d+)/, '\\cdot 10^{$1}');

const row = (values: number[]) => `(${values.map((v) => tex(v)).join(',\\; ')})`;

function latex({ z, y, T }: Example): string {
  const scaled = z.map((v) => v / T);
  const p = softmax(z, T);
  const J = jacobian(p).map((values) => '    ' + values.map((v) => tex(v)).join(' & '));
  return `% needs amsmath
\\begin{align*}
  z &= (${z.map(exact).join(',\\; ')}), \\quad T = ${exact(T)}, \\quad \\text{label } ${y} \\\\
  p &= \\operatorname{softmax}(z / T) = ${row(p)} \\\\
  L &= -\\log p_{${y}} = ${tex(crossEntropy(scaled, y))} \\\\
  \\frac{\\partial L}{\\partial (z / T)} &= p - y = ${row(crossEntropyGradient(scaled, y))} \\\\
  \\operatorname{diag}(p) - p^\\top p &= \\begin{pmatrix}
${J.join(' \\\\\n')}
  \\end{pmatrix}
\\end{align*}
`;
}

const WRITERS: Record<Kind, (example: Example) => string> = { numpy, pytorch, xent, latex };

export const written = (kind: Kind, example: Example): string => WRITERS[kind](example);
