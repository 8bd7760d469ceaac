"""Attention over every pixel in linear time: FAVOR+ (Choromanski et al., "Rethinking Attention with Performers", ICLR 2021).

exp(q.k) is the mean over Gaussian directions w of exp(w.q - |q|^2/2) exp(w.k - |k|^2/2) (lemma 1). With m directions the sum
over all keys is taken once, an (m, d) matrix, and every query reads it: O(n m d) instead of O(n^2 d).

As in the authors' and in Wang's code, the largest exponent is taken off (of each query; of all keys of an image and head) and
1e-4 is added to every feature. It is what makes attention of many channels usable: there the products of single features are
mostly noise of enormous variance (lemma 2), and what is small against 1e-4 becomes the plain mean over all places.

Ours
- The largest exponent of keys is that of one image and head, not of a whole batch, on which a picture must not depend.
- No denominator can be 0 or infinite, whatever is fed: every exponent is at most 0, and every feature at least 1e-4.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from chromogen.tensors import full_precision

EPSILON = 1e-4  # added to every feature
CHUNK_TOKENS = 16384  # worked on at once: 2 heads of 256 float32 features are then 32 MiB an image


def orthogonal_directions(
    features: int, width: int, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "features width"]:
    """Gaussian rows that are orthogonal in blocks of `width` rows (section 2.4), drawn from torch's global generator.

    Each block is a uniformly drawn rotation; each row gets the length of a Gaussian vector (chi-distributed), so that every row
    alone is N(0, I).
    """
    blocks = []
    for _ in range(-(-features // width)):
        rotation, upper = torch.linalg.qr(torch.randn(width, width, device=device, dtype=dtype))
        blocks.append((rotation * torch.sign(torch.diagonal(upper))).mT)  # without the signs QR does not draw uniformly
    lengths = torch.linalg.vector_norm(torch.randn(features, width, device=device, dtype=dtype), dim=1)
    return torch.cat(blocks)[:features] * lengths[:, None]


def favor_attention(
    query: Float[Tensor, "n heads queries d"],
    key: Float[Tensor, "n heads keys d"],
    value: Float[Tensor, "n heads keys d_value"],
    directions: Float[Tensor, "features d"],
    chunk_tokens: int = CHUNK_TOKENS,
) -> Float[Tensor, "n heads queries d_value"]:
    """An estimate of softmax(query key^T / sqrt(d)) value (algorithm 1), in the dtype that comes in.

    A query's features are exp(w.q - |q|^2/2 - max over w of w.q) + 1e-4, a key's exp(w.k - |k|^2/2 - M) + 1e-4 with M the
    largest w.k of its image and head; no gradient goes through either maximum. Tokens are worked on `chunk_tokens` at a time;
    where gradients are wanted and there are several chunks, each is computed again on the way back, so that memory does not
    grow with tokens x features.
    """
    scale = query.shape[-1] ** -0.25
    n, heads, features = *query.shape[:2], len(directions)
    peak = query.new_full((n, heads, 1, 1), -torch.inf)
    sums = query.new_zeros(n, heads, features, value.shape[-1] + 1)  # the last column counts: it becomes the denominator
    several = max(query.shape[2], key.shape[2]) > chunk_tokens
    for some, theirs in zip((key * scale).split(chunk_tokens, dim=2), value.split(chunk_tokens, dim=2), strict=True):
        peak, sums = _run(several, _absorbed, peak, sums, some, theirs, directions)
    sums = sums + EPSILON * _counted(value).sum(dim=2, keepdim=True)
    read = [_run(several, _read, some, sums, directions) for some in (query * scale).split(chunk_tokens, dim=2)]
    return read[0] if len(read) == 1 else torch.cat(read, dim=2)


def _absorbed(peak: Tensor, sums: Tensor, key: Tensor, value: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Add some keys to the sums. `peak` is the largest w.k so far; sums are relative to it."""
    products = key @ directions.mT
    higher = torch.maximum(peak, products.detach().amax(dim=(2, 3), keepdim=True))
    positive = torch.exp(products - key.square().sum(dim=-1, keepdim=True) / 2 - higher)
    return higher, sums * torch.exp(peak - higher) + positive.mT @ _counted(value)


def _read(query: Tensor, sums: Tensor, directions: Tensor) -> Tensor:
    products = query @ directions.mT
    highest = products.detach().amax(dim=-1, keepdim=True)
    read = (torch.exp(products - query.square().sum(dim=-1, keepdim=True) / 2 - highest) + EPSILON) @ sums
    return read[..., :-1] / read[..., -1:]


def _counted(value: Tensor) -> Tensor:
    return torch.cat([value, torch.ones_like(value[..., :1])], dim=-1)


def _run(again: bool, function, *inputs: Tensor):  # type: ignore[no-untyped-def]
    if again and torch.is_grad_enabled():
        return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return function(*inputs)


class FavorAttention(nn.Module):
    """Multi-head self-attention of a feature map over all its places by FAVOR+: 1x1 convolutions to query, key, value and out.

    The directions are a buffer: evaluation uses those of the last training step, and a file holds them. In training `advance`
    counts a step and draws new ones every `redraw` steps (0: never). The sums are float32, also in autocast.
    """

    def __init__(self, channels: int, heads: int = 2, features: int = 256, redraw: int = 1000) -> None:
        super().__init__()
        self.heads, self.redraw = heads, redraw
        inner = heads * max(1, channels // heads)
        self.query, self.key, self.value = (nn.Conv2d(channels, inner, 1, bias=False) for _ in range(3))
        self.out = nn.Conv2d(inner, channels, 1)
        self.directions: Tensor
        self.register_buffer("directions", orthogonal_directions(features, inner // heads))
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._steps: int | None = 0  # the same number where asking for it does not wait for a GPU; None: not known
        self.register_load_state_dict_post_hook(_forget_steps)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        query, key, value = (tokens(part(x).float(), self.heads) for part in (self.query, self.key, self.value))
        with full_precision(x):
            attended = favor_attention(query, key, value, self.directions.float())
        return self.out(feature_map(attended, *x.shape[-2:]).to(x.dtype))

    def advance(self) -> None:
        """One training step is over. Called between steps, so that a step sees one set of directions however often it looks."""
        self._steps = (int(self.steps) if self._steps is None else self._steps) + 1
        self.steps += 1
        if self.redraw and self._steps % self.redraw == 0:
            features, width = self.directions.shape
            self.directions = orthogonal_directions(features, width, self.directions.device)


def advance(network: nn.Module) -> None:
    """One training step is over for every FAVOR+ attention of a network."""
    for module in network.modules():
        if isinstance(module, FavorAttention):
            module.advance()


def _forget_steps(attention: nn.Module, _incompatible: object) -> None:
    attention._steps = None  # type: ignore[assignment]


def tokens(x: Float[Tensor, "n heads*d h w"], heads: int) -> Float[Tensor, "n heads h*w d"]:
    """A feature map as a sequence of its places, row by row; channels go to heads in turn, d at a time."""
    n, channels, height, width = x.shape
    x = x.contiguous(memory_format=torch.channels_last)  # a token's channels side by side: fast kernels ask for it
    return x.permute(0, 2, 3, 1).reshape(n, height * width, heads, channels // heads).transpose(1, 2)


def feature_map(x: Float[Tensor, "n heads h*w d"], height: int, width: int) -> Float[Tensor, "n heads*d h w"]:
    """`tokens` backwards."""
    n, heads, _, d = x.shape
    return x.transpose(1, 2).reshape(n, height, width, heads * d).permute(0, 3, 1, 2)
