import type { Text } from '../../lib/types';

const text = <T extends Record<string, Text>>(texts: T) => texts;

export default text({
  intro: {
    en: 'Dividing the logits by a temperature $T$ makes the probabilities sharper or flatter. It never changes which class is largest.',
    zh: '把 logit 除以温度 $T$，概率会变得更尖锐或更平缓，但概率最大的类别从不改变。',
  },
  curves: { en: 'Probabilities against temperature', zh: '概率随温度的变化' },
  curvesHelp: {
    en: 'To the left they tend to hardmax: one at the largest logit, zero elsewhere. To the right they tend to uniform, $1/K$ each. At every $T$ the order of $z$ is kept; hardmax has no useful gradient: it is 0 wherever there is one.',
    zh: '向左趋于 hardmax：最大的 logit 处为 1，其余为 0。向右趋于均匀分布，每类 $1/K$。无论 $T$ 为何，$z$ 的大小顺序都保持不变；hardmax 没有可用的梯度：凡可导处，梯度都为 0。',
  },
  ties: {
    en: 'The largest logits tie: they share the probability even as T → 0, while hardmax gives it to the first.',
    zh: '有并列最大的 logit：即使 T → 0，它们也平分概率，而 hardmax 只给第一个。',
  },
  temperature: { en: 'Temperature T', zh: '温度 T' },
  largest: { en: 'Largest class', zh: '最大的类别' },
  entropy: { en: 'Entropy H(p)', zh: '熵 H(p)' },
  entropyOf: { en: 'of at most log K', zh: '上限为 log K' },
  smooth: { en: 'T log Σ exp(z/T)', zh: 'T log Σ exp(z/T)' },
  smoothOf: { en: 'tends to the largest logit as T → 0', zh: 'T → 0 时趋于最大的 logit' },
  norm: { en: 'Norm of the gradient, ‖p − y‖/T', zh: '梯度的范数 ‖p − y‖/T' },
  regions: { en: 'Decision regions in two features', zh: '两个特征上的决策区域' },
  regionsHelp: {
    en: 'Softmax regression on these points, fitted to its optimum after every move. The boundaries are straight: along each of them two logits are equal, at every temperature. Drag a point, or focus it and use the arrow keys.',
    zh: '对这些点做 softmax 回归，每次移动后都重新拟合到最优。边界是直线：线上两个 logit 相等，与温度无关。可以拖动一个点，或聚焦后用方向键移动。',
  },
  point: { en: 'Point of class', zh: '样本，类别' },
  at: { en: 'at', zh: '位于' },
  movable: { en: 'movable point', zh: '可移动的点' },
  penalty: { en: 'Inverse penalty C', zh: '正则化强度的倒数 C' },
  objective: { en: 'Objective F(W, b)', zh: '目标函数 F(W, b)' },
  gradient: { en: 'Norm of its gradient', zh: '其梯度的范数' },
  weights: { en: 'Fitted weights', zh: '拟合的权重' },
  className: { en: 'class', zh: '类别' },
  intercept: { en: 'intercept b', zh: '截距 b' },
  probability: { en: 'probability', zh: '概率' },
  uniform: { en: 'uniform', zh: '均匀' },
  reset: { en: 'Put the points back', zh: '恢复各点' },
  plane: { en: 'Plane of two features with its decision regions', zh: '两个特征的平面与决策区域' },
});
