"""Self-attention over the positions of a feature map."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Residual = Literal["gated", "plain", "none"]


class SelfAttention(nn.Module):
    """Every position becomes a mean of the values of all positions, weighted by softmax(Q K^T / sqrt(d_k)).

    Q, K and V are three linear maps of the features without bias (Vaswani et al., NeurIPS 2017, equation 1). As in SAGAN
    (Zhang et al., ICML 2019, section 3), queries and keys have `channels` / `reduction` channels and values all of them, keys
    and values are max-pooled by `pooled` along each side, and the result is added through a gate that begins at 0.
    `residual="plain"` adds it as it is, "none" puts it in the place of the features. Heads share the channels out.

    The softmax is exact, and the matrix of all weights is never stored: memory grows with the number of positions, time with
    its square. The sums are in float32 even of bfloat16 features. Raises ValueError when the heads do not divide the channels.
    """

    def __init__(
        self, channels: int, heads: int = 1, reduction: int = 8, pooled: int = 1, residual: Residual = "gated"
    ) -> None:
        super().__init__()
        if min(heads, reduction, pooled) < 1 or channels % heads:
            raise ValueError(
                f"attention over {channels} channels with {heads} heads, reduction {reduction} and pooling {pooled} is not "
                "possible; each is at least 1, and the heads divide the channels"
            )
        self.heads, self.pooled, self.residual = heads, pooled, residual
        self.key_width = max(1, channels // (reduction * heads))  # d_k, of one head
        self.query = nn.Conv2d(channels, self.key_width * heads, 1, bias=False)
        self.key = nn.Conv2d(channels, self.key_width * heads, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        if residual == "gated":
            self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        keys, values = self.key(x), self.value(x)
        if self.pooled > 1:  # a smaller window at the far edges, so that every position is seen
            keys, values = (F.max_pool2d(part, self.pooled, ceil_mode=True) for part in (keys, values))
        q, k, v = (self._as_rows(part) for part in (self.query(x), keys, values))
        # Zeros change no product of q and k, and with rows of one length PyTorch has a way that does not store the weights.
        q, k = (F.pad(rows, (0, v.shape[-1] - self.key_width)) for rows in (q, k))
        seen = F.scaled_dot_product_attention(q, k, v, scale=1 / math.sqrt(self.key_width))
        n, _, height, width = x.shape
        seen = seen.transpose(1, 2).reshape(n, height, width, -1).permute(0, 3, 1, 2)
        if self.residual == "none":
            return seen
        return x + (self.gate * seen if self.residual == "gated" else seen)

    def _as_rows(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n heads positions c_head"]:
        rows = x.permute(0, 2, 3, 1).contiguous()  # free for channels-last features
        return rows.view(x.shape[0], -1, self.heads, x.shape[1] // self.heads).transpose(1, 2)
