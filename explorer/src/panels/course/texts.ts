import type { Text } from '../../lib/types';

const text = <T extends Record<string, Text>>(texts: T) => texts;

export default text({
  intro: {
    en: 'Where an exercise of two widely taken courses has its panel on this page, the function of xent that gives the number to compare yours with, and the page of its docs.',
    zh: '两门常见课程的练习在本页对应哪一节，用 xent 的哪个函数核对你的结果，以及相关文档。',
  },
  exercise: { en: 'Exercise', zh: '练习' },
  panel: { en: 'Panel', zh: '节' },
  check: { en: 'Compare with', zh: '用它核对' },
  docs: { en: 'see', zh: '见' },
  cs231n: { en: 'CS231n, assignment 1', zh: 'CS231n 作业 1' },
  d2l: { en: 'Dive into Deep Learning, chapter 4', zh: '《动手学深度学习》“线性神经网络”一章：softmax 回归' },
  shapes: { en: 'Mind the conventions', zh: '注意约定' },
  shapesW: {
    en: 'Both courses write the scores as $XW$ with $W$ of shape $(D, K)$. `xent check` takes it as it is. In `xent.reference` $W$ is $(K, D)$: there pass `W.T`, and transpose the gradient back.',
    zh: '两门课程都把分数写作 $XW$，$W$ 的形状为 $(D, K)$。`xent check` 可直接接受。`xent.reference` 中 $W$ 为 $(K, D)$：此时传入 `W.T`，再把梯度转置回来。',
  },
  shapesReg: {
    en: 'A penalty $\\tfrac12 \\lambda \\lVert W \\rVert^2$ beside the mean loss of $N$ rows is `C` $= 1/(\\lambda N)$ of `SoftmaxRegression`. Without the ½ it is $1/(2 \\lambda N)$.',
    zh: '在 $N$ 个样本的平均损失上加 $\\tfrac12 \\lambda \\lVert W \\rVert^2$，相当于 `SoftmaxRegression` 的 `C` $= 1/(\\lambda N)$。若没有 ½，则为 $1/(2 \\lambda N)$。',
  },
  shapesBias: {
    en: 'A column of ones in X puts the intercept under the penalty; xent leaves the intercept free. The optima differ a little.',
    zh: '在 X 中加一列 1 会让截距也受惩罚；xent 不惩罚截距。两者的最优解略有不同。',
  },
});
