import numpy as np
import torch

from chromogen.nets.patches import PatchHead, at_places, drawn_places, mirrored_places


def maps() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 5, 6, generator=generator), torch.randn(2, 4, 2, 3, generator=generator)]


def test_places_are_different_shared_by_the_images_and_all_where_there_are_few() -> None:
    torch.manual_seed(0)
    wide, small = drawn_places(maps(), 10)
    assert wide.shape == (2, 10) and torch.equal(wide[0], wide[1])
    assert len(set(wide[0].tolist())) == 10 and int(wide.max()) < 30
    assert sorted(small[0].tolist()) == list(range(6))


def test_what_is_seen_there_equals_loops() -> None:
    features = maps()
    places = [torch.tensor([[0, 7, 29], [5, 6, 11]]), torch.tensor([[1], [4]])]
    for x, at, found in zip(features, places, at_places(features, places), strict=True):
        for image in range(2):
            for number, place in enumerate(at[image].tolist()):
                row, column = divmod(place, x.shape[3])
                assert torch.equal(found[image, number], x[image, :, row, column])


def test_a_mirrored_map_shows_the_same_at_its_mirrored_places() -> None:
    torch.manual_seed(0)
    features, mirrored = maps(), torch.tensor([True, False])
    shown = [torch.where(mirrored.view(-1, 1, 1, 1), x.flip(3), x) for x in features]
    places = drawn_places(features, 4)
    there = mirrored_places(places, shown, mirrored)
    assert not torch.equal(there[0][0], places[0][0]) and torch.equal(there[0][1], places[0][1])
    for found, expected in zip(at_places(shown, there), at_places(features, places), strict=True):
        assert torch.equal(found, expected)


def test_head_is_two_layers_and_unit_length_for_each_tap() -> None:
    head = PatchHead([3, 4], width=6)
    vectors = [torch.randn(2, 5, 3), torch.randn(2, 1, 4)]
    for number, (x, found) in enumerate(zip(vectors, head(vectors), strict=True)):
        weights = {key.removeprefix(f"layers.{number}."): value.numpy() for key, value in head.state_dict().items()}
        hidden = np.maximum(0, x.numpy() @ weights["0.weight"].T + weights["0.bias"])
        expected = hidden @ weights["2.weight"].T + weights["2.bias"]
        expected /= np.linalg.norm(expected, axis=-1, keepdims=True)
        np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-5)
