import pytest
import torch

from chromogen.losses import classification, detection, segmentation
from chromogen.losses.reading import reading_loss
from chromogen.tensors import CaseBatch


def cases(**labels: torch.Tensor) -> CaseBatch:
    plain = {"images": torch.rand(2, 1, 1, 8, 8), "lines": torch.zeros(2, 1, 8, 8), "organ": torch.ones(2, 1, 8, 8)}
    return {**plain, "index": torch.arange(2), **labels}  # type: ignore[typeddict-item]


def test_the_form_of_the_output_says_which_label_counts() -> None:
    torch.manual_seed(0)
    mask, category = torch.randint(0, 3, (2, 8, 8)), torch.tensor([2, 0])
    boxes = torch.tensor([[[1.0, 1, 1, 5, 5]], [[0.0, 0, 0, 0, 0]]])
    batch = cases(mask=mask, category=category, boxes=boxes)
    logits, scores = torch.randn(2, 3, 8, 8), torch.randn(2, 3)
    both = segmentation.cross_entropy(logits, mask) + segmentation.dice(logits, mask)
    assert float(reading_loss(logits, batch)) == pytest.approx(float(both))
    weights = (0.5, 5.0, 25.0)
    squares = segmentation.weighted_squares(logits, mask, weights)
    assert float(reading_loss(logits, batch, "squares", weights)) == pytest.approx(float(squares))
    assert float(reading_loss(scores, batch)) == float(classification.cross_entropy(scores, category))
    assert float(reading_loss(scores, batch, "squares")) == float(classification.squares(scores, category))
    said = (torch.randn(2, 2, 4), torch.randn(2, 2, 2), torch.tensor([[0.0, 0, 4, 4], [4.0, 4, 8, 8]]))
    kind, place = detection.ssd(*said, boxes)
    assert float(place) > 0
    assert float(reading_loss(said, batch)) == pytest.approx(float(kind + place))


@pytest.mark.parametrize(
    ("output", "label"),
    [(torch.zeros(2, 3, 8, 8), "mask"), (torch.zeros(2, 3), "category"), ((torch.zeros(1),) * 3, "boxes")],
)
def test_a_batch_without_the_label_is_a_sentence(output: torch.Tensor, label: str) -> None:
    with pytest.raises(ValueError, match=f"have no {label}"):
        reading_loss(output, cases())
