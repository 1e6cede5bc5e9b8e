import type { Text } from './types';

/** The panels in their order; each lives in src/panels/<id>/Panel.svelte. Those with data of their own, or none,
 *  do without the shared example beside them. */
export const panels: { id: string; title: Text; apart?: true }[] = [
  { id: 'rounding', title: { en: 'Softmax in finite precision', zh: '有限精度下的 softmax' } },
  { id: 'jacobian', title: { en: 'The Jacobian', zh: '雅可比矩阵' } },
  { id: 'collapse', title: { en: 'The collapse to p − y', zh: '化简为 p − y' } },
  { id: 'simplex', title: { en: 'Squared error instead', zh: '若改用平方误差' } },
  { id: 'temperature', title: { en: 'Temperature and regions', zh: '温度与决策区域' } },
  { id: 'labels', title: { en: 'One label or several', zh: '单标签与多标签' } },
  { id: 'gradcheck', title: { en: 'The gradient check', zh: '梯度检验' } },
  { id: 'batch', apart: true, title: { en: 'The regularised loss, twice', zh: '带正则化的损失：两种写法' } },
  { id: 'curvature', apart: true, title: { en: 'Second order: convex', zh: '二阶：为何是凸的' } },
  { id: 'training', apart: true, title: { en: 'Training on digits', zh: '在手写数字上训练' } },
  { id: 'course', apart: true, title: { en: 'From your course to here', zh: '从课程到这里' } },
];
