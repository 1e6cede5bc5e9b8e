import type { Text } from '../../lib/types';

const text = <T extends Record<string, Text>>(texts: T) => texts;

export default text({
  intro: {
    en: 'Softmax regression on 1797 images of 8 × 8 pixels: $F$ is the mean loss plus a small penalty, $\\lVert W \\rVert^2 / 2N$. Training starts from $W = 0$, where every class has probability 1/10 and $F = \\log 10$. The problem is convex, so every local minimum is global; the penalty makes $W$ unique, and $b$ up to a common constant. xent certifies how near it came to the optimum: here one sees how far SGD is from it.',
    zh: '在 1797 张 8 × 8 像素的图像上做 softmax 回归：$F$ 是平均损失加一个小的惩罚项 $\\lVert W \\rVert^2 / 2N$。训练从 $W = 0$ 开始，此时每类概率为 1/10，$F = \\log 10$。这是凸问题，局部最优即全局最优；惩罚项使最优的 $W$ 唯一，$b$ 则只差一个公共常数。xent 能证明自己离最优值有多近。这里可以看到 SGD 离它还有多远。',
  },
  rate: { en: 'Learning rate', zh: '学习率' },
  ofRate: { en: 'learning rate', zh: '学习率' },
  step: { en: 'Steps of SGD', zh: 'SGD 步数' },
  passes: { en: 'passes over the data', zh: '遍历数据的次数' },
  ofData: { en: '# passes', zh: '遍历数据 # 遍' },
  loss: { en: 'Objective F', zh: '目标函数 F' },
  optimum: { en: 'Optimum F*', zh: '最优值 F*' },
  certificate: { en: 'certified to within', zh: '经证明误差不超过' },
  distance: { en: 'Distance F − F*', zh: '距离 F − F*' },
  accuracy: { en: 'Accuracy on these rows', zh: '在这些数据上的准确率' },
  optimal: { en: 'at the optimum', zh: '最优处' },
  gradient: { en: 'Norm of the gradient', zh: '梯度的范数' },
  lossPlot: { en: 'Objective against passes', zh: '目标函数随遍历次数的变化' },
  distancePlot: { en: 'Distance from the optimum', zh: '与最优值的距离' },
  xent: { en: 'xent’s solver', zh: 'xent 的求解器' },
  play: { en: 'Play', zh: '播放' },
  pause: { en: 'Pause', zh: '暂停' },
  templates: { en: 'Weight templates', zh: '权重模板' },
  templatesHelp: {
    en: 'Row $k$ of $W$ as an image: where ink speaks for digit $k$, and where against it. Each row of pictures has its own scale.',
    zh: '把 $W$ 的第 $k$ 行画成图像：哪些位置的笔画支持数字 $k$，哪些反对。每一行图像各有自己的尺度。',
  },
  now: { en: 'SGD now', zh: 'SGD 当前' },
  best: { en: 'at the optimum', zh: '最优处' },
  image: { en: 'an image', zh: '样本图像' },
  digit: { en: 'digit', zh: '数字' },
  forIt: { en: 'for', zh: '支持' },
  against: { en: 'against', zh: '反对' },
  small: {
    en: 'A small rate: SGD walks the right way and has not arrived; after 100 passes $F - F^*$ still falls.',
    zh: '学习率较小：方向正确，但还没有到达；遍历数据 100 遍后，$F - F^*$ 仍在下降。',
  },
  large: {
    en: 'Too large a rate: SGD jumps about the optimum, and stays at a distance that the rate decides.',
    zh: '学习率太大：SGD 在最优值附近跳动，停留的距离由学习率决定。',
  },
  middle: {
    en: 'At a constant rate SGD comes close at first, then stays at a noise floor: every step sees 50 rows only.',
    zh: '学习率恒定时，SGD 先迅速接近，然后停在噪声水平：每步只看到 50 个样本。',
  },
});
