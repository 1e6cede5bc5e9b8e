import type { Text } from '../../lib/types';

const text = <T extends Record<string, Text>>(texts: T) => texts;

export default text({
  intro: {
    en: 'Softmax is for classes that exclude each other. Where several may hold at once, each gets a sigmoid and a binary cross-entropy of its own. Both gradients are a probability minus a label.',
    zh: 'softmax 用于互斥的类别。若几个类别可以同时成立，则每个类别有自己的 sigmoid 和二元交叉熵。两者的梯度都是“概率减标签”。',
  },
  one: { en: 'One of K: softmax', zh: 'K 选一：softmax' },
  several: { en: 'Several of K: sigmoids', zh: 'K 类中可选多个：sigmoid' },
  label: { en: 'Label', zh: '标签' },
  labels: { en: 'Labels', zh: '标签' },
  cls: { en: 'class', zh: '类别' },
  probability: { en: 'probability', zh: '概率' },
  gradient: { en: 'gradient', zh: '梯度' },
  loss: { en: 'loss', zh: '损失' },
  sum: { en: 'sum', zh: '总和' },
  sumOne: { en: 'The probabilities compete: they sum to 1.', zh: '各概率相互竞争：总和为 1。' },
  sumAny: {
    en: 'Each probability stands alone: the sum may be anything from 0 to K.',
    zh: '每个概率各自独立：总和可以是 0 到 K 之间的任意值。',
  },
  soft: { en: 'Soft labels: what the loss is made of', zh: '软标签：损失由什么组成' },
  softHelp: {
    en: 'Smoothing moves a share of the label to all classes. The loss then has a floor: the entropy of the label itself. Only the divergence is left for the model to reduce, and it is zero where $p = y$.',
    zh: '标签平滑把一部分概率分给所有类别。此时损失有一个下限：标签自身的熵。模型能降低的只有散度，当 $p = y$ 时散度为零。',
  },
  smoothing: { en: 'Smoothing α', zh: '平滑系数 α' },
  target: { en: 'label y', zh: '标签 y' },
  crossEntropy: { en: 'Cross-entropy H(y, p)', zh: '交叉熵 H(y, p)' },
  entropy: { en: 'Entropy H(y)', zh: '熵 H(y)' },
  divergence: { en: 'Divergence KL(y‖p)', zh: '散度 KL(y‖p)' },
  parts: { en: 'Cross-entropy as entropy and divergence', zh: '交叉熵分为熵与散度' },
  total: { en: 'total', zh: '合计' },
  reach: { en: 'Set the logits to where p = y', zh: '把 logit 设为使 p = y 的值' },
  reachHard: {
    en: 'A one-hot label has no such logits: the loss only tends to 0 as the label’s logit grows beyond the others.',
    zh: 'one-hot 标签没有这样的 logit：随着标签的 logit 超出其余越来越多，损失只会趋于 0。',
  },
});
