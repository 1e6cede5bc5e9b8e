import type { Text } from '../../lib/types';

const text = <T extends Record<string, Text>>(texts: T) => texts;

export default text({
  intro: {
    en: 'A difference quotient errs twice: by its formula if the step $h$ is large, by rounding if it is small. Against $h$ the error is a V. Where its foot lies depends on the formula and on the precision.',
    zh: '差商有两种误差：步长 $h$ 大时来自公式，$h$ 小时来自舍入。误差随 $h$ 呈 V 形，最低点的位置取决于公式和精度。',
  },
  plot: { en: 'Error of the difference quotient against the step', zh: '差商误差随步长的变化' },
  step: { en: 'step h', zh: '步长 h' },
  error: { en: 'error', zh: '误差' },
  sizes: {
    en: "The formula errs by $\\tfrac{h^2}{6}|\\ell'''|$ if centred and by $\\tfrac{h}{2}|\\ell''|$ if one-sided: lines of slope 2 and 1 here. Rounding to precision $\\varepsilon$, of the loss and of the logits $z \\pm h$, adds up to about $\\varepsilon(|\\ell| + \\max|z|)/h$: slope −1. The steps at the far left may be lost entirely: then the quotient is 0.",
    zh: "公式误差：中心差分为 $\\tfrac{h^2}{6}|\\ell'''|$，单侧差分为 $\\tfrac{h}{2}|\\ell''|$，在图中是斜率为 2 和 1 的直线。损失 $\\ell$ 与 logit $z \\pm h$ 以精度 $\\varepsilon$ 舍入，带来至多约 $\\varepsilon(|\\ell| + \\max|z|)/h$ 的误差：斜率 −1。最左端的步长可能完全丢失，此时差商为 0。",
  },
  scheme: { en: 'Formula', zh: '公式' },
  precision: { en: 'Precision', zh: '精度' },
  centred: { en: 'centred', zh: '中心差分' },
  forward: { en: 'one-sided', zh: '单侧差分' },
  best: { en: 'Go to the foot of the V', zh: '跳到 V 的最低点' },
  atEnd: {
    en: 'The error is least at an end of the range: no V here, or its foot lies beyond.',
    zh: '误差在范围的一端最小：这里没有 V 形，或最低点在范围之外。',
  },
  cls: { en: 'class', zh: '类别' },
  analytic: { en: 'analytic, p − y', zh: '解析，p − y' },
  numerical: { en: 'numerical', zh: '数值' },
  difference: { en: '|difference|', zh: '|差|' },
  relative: { en: 'relative', zh: '相对误差' },
  overall: { en: 'Error: largest difference over largest entry', zh: '误差：最大的差 / 最大的分量' },
  small: {
    en: 'The relative error of a single entry says little where the gradient is near zero: rounding divided by almost nothing. Judge the largest difference against the largest entry instead.',
    zh: '梯度接近零时，单个分量的相对误差意义不大：那是舍入误差除以几乎为零的数。应当用最大的差与最大的分量相比。',
  },
  rule: { en: 'By theory the foot is near', zh: '理论上最低点约在' },
});
