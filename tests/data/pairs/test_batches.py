import multiprocessing
import os
import signal
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chromogen.data.pairs import quality, sampling
from chromogen.data.pairs.batches import train_batches
from chromogen.data.pairs.sets import FolderData, PhantomData
from chromogen.phantom.tissue.phantom import Phantom
from chromogen.tensors import Batch


def folder(root: Path, levels: str = "0112333", size_px: int = 16) -> FolderData:
    """Pairs whose level is their colour: source pixels are 10 * number, target pixels 10 * number + 5."""
    for k, level in enumerate(levels):
        for side, value in (("HE", 10 * k), ("IHC", 10 * k + 5)):
            path = root / side / f"{k:05d}_train_{level}{'+' * (level != '0')}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((size_px, size_px, 3), value, dtype=np.uint8)).save(path)
    return FolderData(root, crop_px=8, validation_share=0)


def numbers(batches: list[Batch], side: str = "source") -> list[int]:
    """The number of the pair of every image, from its colour."""
    values = [round((image.mean().item() + 1) * 127.5) for batch in batches for image in batch[side]]  # type: ignore[literal-required]
    return [value // 10 for value in values]


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)  # type: ignore[literal-required]
        for a, b in zip(one, other, strict=True)
    )


VARIED = PhantomData(Phantom(size_px=32), train_pairs=5, crop_px=24, stain_jitter=0.2)


def test_a_batch(tmp_path: Path) -> None:
    (batch,) = train_batches(folder(tmp_path), 3, seed=0, first_step=0, steps=1)
    assert batch["source"].shape == batch["target"].shape == (3, 3, 8, 8)
    assert batch["source"].dtype == torch.float32 and batch["level"].dtype == torch.int64
    levels = [0, 1, 1, 2, 3, 3, 3]
    assert batch["level"].tolist() == [levels[k] for k in numbers([batch])]
    assert batch["index"].dtype == torch.int64 and batch["index"].tolist() == numbers([batch])
    assert numbers([batch]) == numbers([batch], "target")
    # values in [-1, 1]: a pair's colours are 10 k and 10 k + 5 of 255
    assert torch.allclose(batch["target"] - batch["source"], torch.tensor(10 / 255), atol=1e-6)


def test_pairs_of_one_patient_are_of_one_group(tmp_path: Path) -> None:
    patients = ["Q", "P", "Q", "R", "P", "Q", "Q"]
    rows = ["he,ihc,patient"]
    for path, patient in zip(sorted((folder(tmp_path).root / "HE").iterdir()), patients, strict=True):
        rows.append(f"HE/{path.name},IHC/{path.name},{patient}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    (batch,) = train_batches(FolderData(tmp_path, crop_px=8, validation_share=0), 7, seed=0, first_step=0, steps=1)
    assert batch["group"].dtype == torch.int64
    assert [sorted(set(patients))[group] for group in batch["group"]] == [patients[index] for index in batch["index"]]


def test_every_epoch_sees_every_pair_once_in_a_new_order(tmp_path: Path) -> None:
    seen = numbers(list(train_batches(folder(tmp_path), 7, 0, 0, 4)))
    epochs = [seen[start : start + 7] for start in range(0, 28, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert numbers(list(train_batches(folder(tmp_path), 7, 1, 0, 4))) != seen


def test_workers_do_not_change_a_byte() -> None:
    alone = list(train_batches(VARIED, 3, 7, 0, 5))
    assert same(alone, list(train_batches(VARIED, 3, 7, 0, 5, workers=2)))
    assert not same(alone, list(train_batches(VARIED, 3, 8, 0, 5)))


def test_resuming_continues_the_stream() -> None:
    whole = list(train_batches(VARIED, 2, 7, 0, 6))
    for step in (1, 4):
        assert same(whole[step:], list(train_batches(VARIED, 2, 7, step, 6 - step)))


def test_an_image_differs_from_epoch_to_epoch() -> None:
    data = replace(VARIED, train_pairs=1)
    assert len({batch["source"].numpy().tobytes() for batch in train_batches(data, 1, 0, 0, 6)}) == 6


def test_two_ranks_together_see_the_batch_of_one_process() -> None:
    alone = list(train_batches(VARIED, 4, 7, 2, 3))
    ranks = [list(train_batches(VARIED, 2, 7, 2, 3, rank=rank, world=2)) for rank in (0, 1)]
    for one, first, second in zip(alone, *ranks, strict=True):
        for key in ("source", "target", "level", "index"):
            assert torch.equal(one[key][0::2], first[key]) and torch.equal(one[key][1::2], second[key])


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_random_state_is_untouched(workers: int) -> None:
    """Dropout draws from it, so a run resumed in the middle must not have lost a draw to the loader."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(train_batches(VARIED, 2, 7, 0, 1, workers=workers))
    assert torch.equal(before, torch.get_rng_state())


def test_balanced_classes_come_in_turn_and_pairs_of_a_class_equally_often(tmp_path: Path) -> None:
    data = replace(folder(tmp_path), class_balanced=True)
    batches = list(train_batches(data, 4, 0, 0, 6))
    assert all(batch["level"].tolist() == [0, 1, 2, 3] for batch in batches)
    assert Counter(numbers(batches)) == {0: 6, 1: 3, 2: 3, 3: 6, 4: 2, 5: 2, 6: 2}


def test_balancing_needs_levels(tmp_path: Path) -> None:
    folder(tmp_path, "01")
    for side in ("HE", "IHC"):
        (tmp_path / side / "00001_train_1+.png").rename(tmp_path / side / "tumour.png")
    data = FolderData(tmp_path, crop_px=8, validation_share=0)
    assert sorted(next(iter(train_batches(data, 2, 0, 0, 1)))["level"].tolist()) == [-1, 0]
    with pytest.raises(ValueError, match="needs the HER2 level of every pair; 1 of 2 have none, for example tumour"):
        train_batches(replace(data, class_balanced=True), 2, 0, 0, 1)


def weighted(root: Path, monkeypatch: pytest.MonkeyPatch, by_number: list[float]) -> FolderData:
    """Seven pairs that are drawn by these weights."""
    data = replace(folder(root), sampling="weighted")
    monkeypatch.setattr(sampling, "weights", lambda pairs, members: np.array(by_number)[members])
    return data


def test_weighted_draws_are_as_frequent_as_their_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = [0.5, 0.0, 1.0, 3.0, 1.0, 1.0, 0.5]  # in an epoch of 7: as many draws each, or one above or below where broken
    data = weighted(tmp_path, monkeypatch, shares)
    seen = numbers(list(train_batches(data, 7, 0, 0, 200)))
    epochs = [Counter(seen[start : start + 7]) for start in range(0, 1400, 7)]
    for epoch in epochs:
        assert epoch[1] == 0 and epoch[3] == 3 and all(epoch[k] == 1 for k in (2, 4, 5)) and epoch[0] + epoch[6] == 1
    assert 70 < sum(epoch[0] for epoch in epochs) < 130  # half of 200
    assert len({tuple(seen[start : start + 7]) for start in range(0, 1400, 7)}) > 150  # epochs are shuffled


def test_weighted_draws_resume_and_are_shared_alike(tmp_path: Path) -> None:
    """By Q_i itself, of phantoms: from any step, by any number of workers and processes the same."""
    data = replace(VARIED, sampling="weighted", drop_worst=0.2)
    whole = list(train_batches(data, 4, 7, 0, 6))
    assert same(whole[4:], list(train_batches(data, 4, 7, 4, 2)))
    assert same(whole, list(train_batches(data, 4, 7, 0, 6, workers=2)))
    ranks = [list(train_batches(data, 2, 7, 2, 3, rank=rank, world=2)) for rank in (0, 1)]
    for one, first, second in zip(whole[2:5], *ranks, strict=True):
        assert torch.equal(one["source"][0::2], first["source"]) and torch.equal(one["source"][1::2], second["source"])
    assert not same(whole, list(train_batches(replace(data, sampling="even"), 4, 7, 0, 6)))


def test_weights_hold_within_a_balanced_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = replace(weighted(tmp_path, monkeypatch, [5, 1, 3, 1, 0, 2, 1]), class_balanced=True)  # levels 0112333
    batches = list(train_batches(data, 4, 0, 0, 240))
    assert all(batch["level"].tolist() == [0, 1, 2, 3] for batch in batches)
    seen = Counter(numbers(batches))
    assert seen[0] == seen[3] == 240 and seen[4] == 0
    assert seen[1] == pytest.approx(60, abs=20) and seen[2] == 240 - seen[1]
    assert seen[5] == pytest.approx(160, abs=1) and seen[6] == pytest.approx(80, abs=1)


def test_the_worst_pairs_do_not_train_but_validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(quality, "worst", lambda pairs, share: asked.append((len(pairs), share)) or np.array([5, 2]))
    data = replace(folder(tmp_path), drop_worst=0.3)
    batches = list(train_batches(data, 5, 0, 0, 3))
    for batch in batches:
        assert sorted(batch["index"].tolist()) == sorted(numbers([batch])) == [0, 1, 3, 4, 6]
    assert asked == [(7, 0.3)]
    assert Counter(numbers(list(train_batches(replace(data, class_balanced=True), 4, 0, 0, 2)))) == {
        0: 2,
        1: 2,
        3: 2,
        4: 1,
        6: 1,
    }
    held = replace(data, held_out=("00005_train_3+",))
    assert held.open("val").names == ("00005_train_3+",) and len(held.open("train")) == 6
    assert "6 training and 1 validation pairs, 0.3 of the training pairs left out as the worst" in held.describe()


def test_unpaired_targets_are_drawn_independently(tmp_path: Path) -> None:
    data = replace(folder(tmp_path), unpaired=True)
    batches = list(train_batches(data, 7, 0, 0, 4))
    sources, targets = numbers(batches), numbers(batches, "target")
    assert sources == numbers(list(train_batches(replace(data, unpaired=False), 7, 0, 0, 4)))
    assert Counter(targets) == dict.fromkeys(range(7), 4)
    assert sum(a == b for a, b in zip(sources, targets, strict=True)) < 14


def test_an_unpaired_set_trains(tmp_path: Path) -> None:
    for name, value in (("trainA/x1", 0), ("trainA/x2", 10), ("trainB/y1", 200)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((9, 9, 3), value, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    data = FolderData(tmp_path, crop_px=8, validation_share=0, unpaired=True)
    (batch,) = train_batches(data, 2, 0, 0, 1)
    assert sorted(numbers([batch])) == [0, 1] and numbers([batch], "target") == [20, 20]


@pytest.mark.parametrize("workers", [0, 1])
def test_one_corrupt_file_is_one_sentence(tmp_path: Path, workers: int) -> None:
    data = folder(tmp_path)
    path = tmp_path / "IHC/00003_train_2+.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError) as caught:
        list(train_batches(data, 7, 0, 0, 1, workers=workers))
    assert str(caught.value).startswith(f"{path} is damaged or cut short") and "Traceback" not in str(caught.value)


def test_different_sizes_in_one_batch(tmp_path: Path) -> None:
    folder(tmp_path, "0", 16)
    for side in ("HE", "IHC"):
        Image.new("RGB", (12, 10)).save(tmp_path / side / "other.png")
    data = FolderData(tmp_path, crop_px=None, validation_share=0)
    with pytest.raises(ValueError, match=r"one batch cannot hold .* px and .* px; set data\.crop-px"):
        list(train_batches(data, 2, 0, 0, 1))
    assert len(list(train_batches(data, 1, 0, 0, 2))) == 2


@pytest.mark.parametrize("field", [{"batch_size": 0}, {"seed": -1}, {"rank": 2, "world": 2}])
def test_impossible_requests_fail_at_the_call(field: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="is not possible"):
        train_batches(VARIED, **{"batch_size": 1, "seed": 0, "first_step": 0, "steps": 1, **field})


def test_a_worker_does_not_die_of_ctrl_c() -> None:
    """The terminal sends SIGINT to every process of the group; the training process alone decides when to stop."""
    stream = train_batches(VARIED, 1, 7, 0, 12, workers=1)
    first = next(stream)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGINT)
    assert same([first, *stream], list(train_batches(VARIED, 1, 7, 0, 12)))


def test_a_long_stream_is_not_made_in_advance() -> None:
    assert len(list(islice(train_batches(VARIED, 1, 0, 10**9, 10**9), 2))) == 2


def test_real_pairs(bci_dev: Path) -> None:
    (batch,) = train_batches(FolderData(bci_dev, validation_share=0, crop_px=256), 8, 0, 0, 1)
    assert batch["source"].shape == (8, 3, 256, 256)
    assert sorted(batch["level"].tolist()) == [0, 1, 1, 2, 2, 3, 3, 3]
