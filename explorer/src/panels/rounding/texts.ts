export const texts = {
  intro: {
    en: 'Softmax turns logits into probabilities, $p_k = e^{z_k} / \\sum_j e^{z_j}$. On paper, adding a constant to every logit changes nothing. In a computer it decides whether there is an answer at all: $e^z$ overflows early, and a probability that has underflowed to 0 has the logarithm −∞. Here every operation is exact but for one rounding to the format you choose.',
    zh: 'softmax 把 logit 变为概率：$p_k = e^{z_k} / \\sum_j e^{z_j}$。在纸上，给所有 logit 加同一个常数不会改变结果；在计算机里，它却决定有没有结果：$e^z$ 很早就会上溢，而下溢为 0 的概率，其对数是 −∞。这里每一步运算都先精确计算，再按所选格式舍入一次。',
  },
  examples: { en: 'Try', zh: '试一试' },
  format: { en: 'Format', zh: '格式' },
  way: { en: 'Exponentials', zh: '取指数' },
  plain: { en: 'of the logits as they are', zh: '直接对 logit' },
  shifted: { en: 'after subtracting the largest', zh: '先减去最大值' },
  steps: { en: 'Step by step', zh: '逐步计算' },
  stepsTable: { en: 'Softmax step by step', zh: 'softmax 的逐步计算' },
  class: { en: 'class', zh: '类别' },
  sum: { en: 'sum', zh: '和' },
  exact: { en: 'exact p', zh: '精确的 p' },
  overflow: { en: 'overflow', zh: '上溢' },
  underflow: { en: 'underflow', zh: '下溢' },
  logOfZero: { en: 'log 0', zh: 'log 0' },
  nothing: { en: 'no number', zh: '不是数' },
  twoLosses: { en: 'The loss, two ways', zh: '损失的两种算法' },
  fromP: { en: 'from the probability', zh: '由概率' },
  fromLogits: { en: 'from the logits', zh: '由 logit' },
  exactLoss: { en: 'exact', zh: '精确值' },
  why: {
    en: 'Subtracting the largest logit $m$ multiplies every exponential by $e^{-m}$, which cancels in $p$, and makes the largest of them 1: no overflow, and a sum of at least 1. What can still happen is that the label’s own exponential underflows. Then $-\\log p_y$ is ∞, though the loss is a moderate number. Taken from the logits, $\\log\\sum_k e^{z_k-m} - (z_y - m)$, it has no logarithm of 0 in it. That is why libraries want logits, not probabilities.',
    zh: '减去最大的 logit $m$，相当于每个指数都乘以 $e^{-m}$：它在 $p$ 中约去，且最大的指数变为 1，于是不会上溢，和也不小于 1。仍可能发生的是标签自己的指数下溢：此时 $-\\log p_y$ 为 ∞，而真正的损失只是个普通的数。若由 logit 计算 $\\log\\sum_k e^{z_k-m} - (z_y - m)$，其中就不会出现 0 的对数。所以各种库要的是 logit，而不是概率。',
  },
  all: { en: 'All formats on this example', zh: '各种格式下的同一例子' },
  largest: { en: 'largest number', zh: '最大的数' },
  least: { en: 'least above 0', zh: '最小正数' },
  overflowsAbove: { en: 'exp too large above', zh: 'exp 上溢界' },
  zeroBelow: { en: 'exp is 0 below', zh: 'exp 归零界' },
  plainLoss: { en: '−log p, plain', zh: '−log p，直接' },
  shiftedLoss: { en: '−log p, shifted', zh: '−log p，平移' },
  logitsLoss: { en: 'from logits, shifted', zh: '由 logit，平移' },
  formatsNote: {
    en: 'e4m3 and e5m2 are the two 8-bit formats of deep learning. e4m3 has no infinity: what is too large becomes NaN. Real hardware adds up in a wider format; here even sums are rounded, so that one sees what the format itself can hold.',
    zh: 'e4m3 与 e5m2 是深度学习所用的两种 8 位格式。e4m3 没有无穷大，过大的数变为 NaN。真实硬件会用更宽的格式累加；这里连求和也舍入，以看清格式本身的能力。',
  },
};

/** Logits at which one format after the other fails. */
export const examples = [
  { id: 'moderate', text: { en: 'moderate logits', zh: '普通的 logit' }, z: [2, 1, 0.1, -1], y: 0 },
  { id: '12', text: { en: 'a logit of 12', zh: 'logit 到 12' }, z: [12, 11, 3, 0], y: 1 },
  { id: '100', text: { en: 'of 100', zh: '到 100' }, z: [100, 99, 97, 90], y: 1 },
  { id: '1000', text: { en: 'of 1000', zh: '到 1000' }, z: [1000, 999, 997, 990], y: 1 },
  { id: 'far', text: { en: 'a label 120 below', zh: '标签低 120' }, z: [0, 120, 1, 2], y: 0 },
];
