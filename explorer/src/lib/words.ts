/** The words of the frame: header, navigation, controls. */
export const words = {
  skip: { en: 'Skip to the panel', zh: '跳到正文' },
  explorer: { en: 'softmax and cross-entropy, alive', zh: '动手看懂 softmax 与交叉熵' },
  language: { en: 'Language', zh: '语言' },
  panels: { en: 'Panels', zh: '各节' },
  missing: { en: 'This panel is not built yet.', zh: '本节尚未完成。' },
  example: { en: 'The example', zh: '当前例子' },
  logits: { en: 'Logits z, label y', zh: 'logit z 与标签 y' },
  logit: { en: 'logit', zh: 'logit' },
  label: { en: 'label is class', zh: '标签为类别' },
  temperature: { en: 'Temperature T', zh: '温度 T' },
  addClass: { en: 'Add a class', zh: '增加一类' },
  removeClass: { en: 'Remove a class', zh: '减少一类' },
  reset: { en: 'Start again', zh: '重新开始' },
  loss: { en: 'Loss', zh: '损失' },
  atTemperature: {
    en: 'With T ≠ 1 every panel speaks of the logits divided by T.',
    zh: '当 T ≠ 1 时，各节中的 logit 均指 z 除以 T。',
  },
};
