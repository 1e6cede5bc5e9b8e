export const texts = {
  intro: {
    en: 'The loss $L = -\\log p_y$ depends on the probabilities only through that of the label: $\\partial L/\\partial p$ is $-1/p_y$ there and 0 elsewhere. The chain rule multiplies it by the Jacobian, and everything cancels: $\\partial L/\\partial z = p - y$, with $y$ the one-hot row of the label. Choose a term or a cell to see where it comes from.',
    zh: '损失 $L = -\\log p_y$ 只通过标签的概率依赖于 $p$：$\\partial L/\\partial p$ 在标签处为 $-1/p_y$，其余为 0。链式法则让它乘以雅可比矩阵，一切都约去：$\\partial L/\\partial z = p - y$，其中 $y$ 是标签的 one-hot 行向量。选一项或一格，看它从何而来。',
  },
  dp: { en: 'The loss, with respect to the probabilities', zh: '损失对概率的导数' },
  jac: { en: 'times the Jacobian', zh: '乘以雅可比矩阵' },
  product: { en: 'gives the loss, with respect to the logits', zh: '得到损失对 logit 的导数' },
  result: { en: 'which is p − y', zh: '它就是 p − y' },
  terms: { en: 'The sum behind entry', zh: '分量 j =' },
  termsAfter: { en: '', zh: ' 的求和' },
  term: { en: 'term', zh: '项' },
  atLabel: { en: 'At the label', zh: '在标签处' },
  noNumber: {
    en: '$p_y$ has underflowed: $-1/p_y$ is −∞, and nothing that it is multiplied by means anything; $0 \\cdot \\infty$ is not even a number. $p - y$ gives',
    zh: '$p_y$ 已下溢：$-1/p_y$ 为 −∞，乘以它的结果都没有意义，$0 \\cdot \\infty$ 甚至不是数。$p - y$ 给出',
  },
  elsewhere: { en: 'Away from the label', zh: '在其他类别' },
  fused: {
    en: 'The $1/p_y$ and the $p_y$ in the row of the Jacobian cancel, so nobody should ever compute either: where $p_y$ underflows to 0 the product is 0 · ∞, while $p - y$ is as exact as ever. The entries sum to 0, and none is larger than 1.',
    zh: '$1/p_y$ 与雅可比矩阵该行中的 $p_y$ 相消，因此两者都不该单独计算：一旦 $p_y$ 下溢为 0，乘积便是 0 · ∞，而 $p - y$ 依旧精确。各分量之和为 0，且绝对值都不超过 1。',
  },
  network: { en: 'Any network in front', zh: '前面可以是任何网络' },
  networkSay: {
    en: 'Whatever makes the logits from an input $x$ with parameters $w$, the loss hands back the same $p - y$. Only $\\partial z/\\partial w$ is the network’s own.',
    zh: '无论用什么参数 $w$ 由输入 $x$ 得到 logit，损失传回的都是同一个 $p - y$。只有 $\\partial z/\\partial w$ 取决于网络。',
  },
  kind: { en: 'Network', zh: '网络' },
  dense: { en: 'dense', zh: '全连接' },
  convolution: { en: 'convolution', zh: '卷积' },
  recurrent: { en: 'recurrent', zh: '循环' },
  attention: { en: 'attention', zh: '注意力' },
  forward: { en: 'forward', zh: '前向' },
  backward: { en: 'backward', zh: '反向' },
  convolutionSay: {
    en: 'A filter $w$ slides over the input, so it meets $p - y$ once at every place: its gradient is the sum over the places of what comes back there times the patch it saw.',
    zh: '卷积核 $w$ 在输入上滑动，在每个位置都遇到一次传回的 $p - y$：它的梯度是各位置传回的值与所见图块乘积之和。',
  },
  recurrentSay: {
    en: 'With $h_t = f(h_{t-1}, x_t)$ the same $w$ works at every step: $p - y$ enters at the last one and goes back through all steps, adding to $\\partial L/\\partial w$ at each.',
    zh: '对 $h_t = f(h_{t-1}, x_t)$，同一个 $w$ 用于每一步：$p - y$ 从最后一步进入，逐步往回传，在每一步都累加到 $\\partial L/\\partial w$。',
  },
  attentionSay: {
    en: 'The weights of attention are a softmax themselves, in the middle of the network. There nothing cancels: what comes back from $p - y$ is multiplied by that softmax’s own Jacobian, $a \\circ (v - \\langle a, v\\rangle)$.',
    zh: '注意力的权重本身也是 softmax，但位于网络中间，那里没有约去：由 $p - y$ 传回的量要乘以那个 softmax 自己的雅可比矩阵，即 $a \\circ (v - \\langle a, v\\rangle)$。',
  },
  denseSay: {
    en: 'A dense layer $z = x W^\\top + b$, with rows $x$ and $z$: since $\\partial z_k/\\partial W_{kd} = x_d$, the gradient is the outer product $dW = (p - y)^\\top x$, and $db = p - y$. Over a batch of $N$ rows, with the rows $p - y$ in $G$, the means are $dW = G^\\top X/N$ and $db = \\sum_i G_i/N$.',
    zh: '全连接层 $z = x W^\\top + b$，其中 $x$ 与 $z$ 为行向量：因为 $\\partial z_k/\\partial W_{kd} = x_d$，梯度是外积 $dW = (p - y)^\\top x$，而 $db = p - y$。对一批 $N$ 个样本，把各自的 $p - y$ 逐行排成 $G$，取平均得 $dW = G^\\top X/N$，$db = \\sum_i G_i/N$。',
  },
  input: { en: 'Input', zh: '输入' },
  dW: { en: 'dW, row k, column d', zh: 'dW，第 k 行第 d 列' },
  db: { en: 'db', zh: 'db' },
  fits: {
    en: 'The logits above are what some W and b give for this x; the gradient does not ask which.',
    zh: '上面的 logit 可看作某组 W 与 b 对这个 x 的输出；梯度与具体是哪一组无关。',
  },
};
