import type { Text } from '../../lib/types';

export type Exercise = { what: Text; panel: string; functions: string[]; docs?: string };

export const cs231n: Exercise[] = [
  {
    what: { en: 'Softmax loss and gradient with explicit loops', zh: '用显式循环写 softmax 损失与梯度' },
    panel: 'batch',
    functions: ['xent check softmax.py:softmax_loss_naive', 'xent.reference.softmax_loss_loops'],
    docs: 'docs/check.md',
  },
  {
    what: { en: 'The same, vectorised: no loops', zh: '同上，向量化，不用循环' },
    panel: 'batch',
    functions: ['xent check softmax.py:softmax_loss_vectorized', 'xent.reference.softmax_loss'],
    docs: 'docs/check.md',
  },
  {
    what: { en: 'Why the first loss is about −log 0.1', zh: '为什么最初的损失约为 −log 0.1' },
    panel: 'batch',
    functions: ['xent.reference.softmax_loss', 'xent.cross_entropy'],
  },
  {
    what: { en: 'Numeric stability: shifting the scores', zh: '数值稳定性：平移分数' },
    panel: 'rounding',
    functions: ['xent.reference.logsumexp', 'xent.log_softmax'],
  },
  {
    what: { en: 'Checking the gradient by differences', zh: '用差分检验梯度' },
    panel: 'gradcheck',
    functions: ['xent.check.softmax_loss', 'xent.reference.gradient_errors'],
    docs: 'docs/check.md',
  },
  {
    what: { en: 'Training by SGD, and how good it could get', zh: '用 SGD 训练，以及最好能到多少' },
    panel: 'training',
    functions: ['xent.SoftmaxRegression'],
    docs: 'docs/design/0002-certificates.md',
  },
  {
    what: { en: 'Choosing the regularisation strength', zh: '选择正则化强度' },
    panel: 'temperature',
    functions: ['xent.SoftmaxRegressionCV', 'xent.softmax_path'],
    docs: 'docs/design/0005-sweeps-and-sparse.md',
  },
  {
    what: { en: 'Looking at the learned weights', zh: '观察学到的权重' },
    panel: 'training',
    functions: ['xent.SoftmaxRegression.coef_'],
  },
];

export const d2l: Exercise[] = [
  {
    what: { en: 'Softmax and the derivative of its loss', zh: 'softmax 及其损失的导数' },
    panel: 'collapse',
    functions: ['xent.check.softmax_loss', 'xent.reference.cross_entropy_gradient'],
    docs: 'docs/check.md',
  },
  {
    what: { en: 'The second derivative is a variance', zh: '二阶导数是方差' },
    panel: 'curvature',
    functions: ['xent.reference.hessian', 'xent.reference.hessian_vector_product'],
  },
  {
    what: { en: 'The smooth maximum and its limit', zh: '光滑最大值及其极限' },
    panel: 'temperature',
    functions: ['xent.reference.logsumexp'],
  },
  {
    what: { en: 'What a temperature does', zh: '温度的作用' },
    panel: 'temperature',
    functions: ['xent.reference.softmax', 'xent.reference.hardmax'],
  },
  {
    what: { en: 'Entropy and surprise; cross-entropy and divergence', zh: '熵与惊异；交叉熵与散度' },
    panel: 'labels',
    functions: ['xent.reference.entropy', 'xent.reference.kl_divergence'],
  },
  {
    what: { en: 'Several labels at once', zh: '同时有多个标签' },
    panel: 'labels',
    functions: ['xent.reference.binary_cross_entropy'],
  },
  {
    what: { en: 'Regression on one-hot labels instead', zh: '改为对 one-hot 标签做回归' },
    panel: 'simplex',
    functions: ['xent.reference.squared_error_gradient'],
  },
  {
    what: { en: 'Where a softmax from scratch breaks', zh: '从零实现的 softmax 在哪里出错' },
    panel: 'rounding',
    functions: ['xent.reference.softmax'],
  },
  {
    what: { en: 'The range of exp in each number format', zh: '各种数值格式中 exp 的范围' },
    panel: 'rounding',
    functions: ['xent.reference.log_softmax'],
  },
  {
    what: { en: 'Learning rates and the loss curve', zh: '学习率与损失曲线' },
    panel: 'training',
    functions: ['xent.SoftmaxRegression'],
    docs: 'docs/design/0002-certificates.md',
  },
];
