"""A memory of made images, from which a discriminator is shown older ones too."""

from typing import Any

import torch
from torch import Tensor, nn

from chromogen.tensors import SignedImages


class ImagePool(nn.Module):
    """At most `size` images of those made before (Shrivastava et al., CVPR 2017, section 2.3; Zhu et al., 2017, section 4).

    Until it is full every image is stored and handed back. From then on each image changes places with a stored one drawn at
    random with probability 1/2, and is handed back itself otherwise. The images of a batch come one after the other, so a later
    one may bring back an earlier one. `size=0` hands every batch through.

    The memory is a buffer and so part of a saved training. It takes the size of the first images it sees; when images of
    another size come, it starts anew. Draws come from torch's global generator of the images' device.
    """

    images: Tensor  # (size, 3, H, W); empty before the first batch
    count: Tensor  # how many of them are filled

    def __init__(self, size: int = 50) -> None:
        super().__init__()
        if size < 0:
            raise ValueError(f"an image pool holds 0 or more images, got {size}")
        self.size = size
        self.register_buffer("images", torch.zeros(0))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, made: SignedImages) -> SignedImages:
        """As many images as came, without a graph: themselves or older ones."""
        made = made.detach()
        if self.size == 0:
            return made
        if self.images.shape[1:] != made.shape[1:]:
            self.images = made.new_zeros((self.size, *made.shape[1:]))
            self.count = torch.zeros_like(self.count)
        swaps = torch.rand(len(made), device=made.device) < 0.5
        places = torch.randint(self.size, (len(made),), device=made.device)
        shown = []
        for image, swap, drawn in zip(made.split(1), swaps.split(1), places.split(1), strict=True):
            filling = self.count < self.size
            place = torch.where(filling, self.count, drawn)
            before = self.images.index_select(0, place)
            self.images.index_copy_(0, place, torch.where(filling | swap, image, before))
            shown.append(torch.where(filling | ~swap, image, before))
            self.count = (self.count + 1).clamp(max=self.size)
        return torch.cat(shown)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take on the size of the images that were saved, since a fresh pool knows none."""
        saved = state_dict.get(f"{prefix}images")
        if isinstance(saved, Tensor) and saved.shape[:1] in ((0,), (self.size,)):
            self.images = self.images.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)
