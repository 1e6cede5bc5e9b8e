export const texts = {
  intro: {
    en: 'Raise one logit, and its probability grows while all others shrink: they share a sum of 1. How much each moves is the Jacobian, $\\partial p_i/\\partial z_j = p_i(\\delta_{ij} - p_j)$, that is $J = \\operatorname{diag}(p) - p^\\top p$ for the row $p$, a symmetric matrix. Choose an entry with the mouse or the arrow keys to see it derived; a click holds it, a second one lets go.',
    zh: '提高一个 logit，它的概率变大，其余的都变小，因为它们的和总是 1。各自变化多少，由雅可比矩阵给出：$\\partial p_i/\\partial z_j = p_i(\\delta_{ij} - p_j)$，即 $J = \\operatorname{diag}(p) - p^\\top p$，其中 $p$ 为行向量；它是对称矩阵。用鼠标或方向键选一个元素，看它如何推出；点击即固定，再点一次放开。',
  },
  matrix: { en: 'Jacobian of softmax, row i, column j', zh: 'softmax 的雅可比矩阵，第 i 行第 j 列' },
  entry: { en: 'The entry', zh: '元素' },
  same: { en: 'on the diagonal, i = j', zh: '对角线上，i = j' },
  different: { en: 'off the diagonal, i ≠ j', zh: '对角线外，i ≠ j' },
  quotient: { en: 'By the quotient rule', zh: '用商的求导法则' },
  quotientSay: {
    en: 'Write $e_k = e^{z_k - m}$ and $S = \\sum_k e_k$; the shift by $m = \\max z$ cancels. In $p_i = e_i/S$ the numerator depends on $z_j$ only if $i = j$, the denominator always.',
    zh: '记 $e_k = e^{z_k - m}$，$S = \\sum_k e_k$；平移 $m = \\max z$ 会约去。在 $p_i = e_i/S$ 中，分子仅当 $i = j$ 时与 $z_j$ 有关，分母总与之有关。',
  },
  log: { en: 'By the logarithmic derivative', zh: '用对数求导' },
  logSay: {
    en: 'Since $\\log p_i = z_i - \\log S$ is simpler than $p_i$, differentiate that, and use $\\partial p_i = p_i\\,\\partial\\log p_i$. No cases, no fractions.',
    zh: '$\\log p_i = z_i - \\log S$ 比 $p_i$ 简单，于是先对它求导，再用 $\\partial p_i = p_i\\,\\partial\\log p_i$。无需分情形，也没有分式。',
  },
  rank: { en: 'Rows that sum to 0, and rank K − 1', zh: '各行之和为 0，秩为 K − 1' },
  rankSay: {
    en: 'Each row sums to 0: the same constant added to every logit, the direction $\\mathbf 1 = (1, \\dots, 1)$, changes no probability. So $J\\mathbf 1^\\top = 0$, and one eigenvalue is 0. All others are positive as long as every probability is; they lie between neighbours of the sorted $p$. So the exact rank is K − 1 as long as every $p_k > 0$; the numerical rank counts the eigenvalues above $K \\varepsilon \\lambda_1$, with $\\varepsilon = 2^{-52}$. Turn the temperature down, and all eigenvalues vanish, unless the largest logits tie: a saturated softmax passes no gradient on.',
    zh: '每行之和为 0：给所有 logit 加同一常数，即沿方向 $\\mathbf 1 = (1, \\dots, 1)$ 移动，任何概率都不变。所以 $J\\mathbf 1^\\top = 0$，有一个特征值为 0。只要所有概率为正，其余特征值就都为正，且夹在排序后相邻的 $p$ 之间。因此只要所有 $p_k > 0$，精确的秩就是 K − 1；数值秩则是大于 $K \\varepsilon \\lambda_1$ 的特征值个数，其中 $\\varepsilon = 2^{-52}$。降低温度，所有特征值都趋于 0，除非最大的 logit 并列：饱和的 softmax 不再传递梯度。',
  },
  rankIs: { en: 'numerical rank', zh: '数值秩' },
  ofK: { en: 'K − 1 =', zh: 'K − 1 =' },
  lost: {
    en: 'In float64 the smallest eigenvalues cannot be told from 0 any more.',
    zh: '在 float64 中，最小的特征值已无法与 0 区分。',
  },
  largestSum: { en: 'largest row sum', zh: '行和最大为' },
  eigenvalues: { en: 'Eigenvalues, the largest first', zh: '特征值，由大到小' },
  four: { en: 'The 4 × 4 case', zh: '4 × 4 的情形' },
  toFour: { en: 'Set K = 4', zh: '取 K = 4' },
};
