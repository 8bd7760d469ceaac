"""How much the images of a batch differ from each other: tensors in, scalar out."""

from chromogen.losses.adversarial import Scalar
from chromogen.tensors import SignedImages


def batch_variance(fake: SignedImages, target: SignedImages) -> Scalar:
    """Mean over channels and pixels of |Var(target) - Var(fake)|, each variance over the images of the batch.

    As in figure 4 of Rehmat et al. (arXiv:2506.18371). Variances are of the population (divided by the number of images), in
    squares of the signed range: at most 1. A batch of one image has none, so that the loss is 0 and teaches nothing; images of
    one HER2 level differ little, so batches should mix the levels.
    """
    real = target.float().var(dim=0, correction=0)
    return (real - fake.float().var(dim=0, correction=0)).abs().mean()
