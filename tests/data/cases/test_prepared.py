import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chromogen.config import from_fields, to_fields
from chromogen.data.cases.prepared import Prepared, PreparedCase, PreparedData
from chromogen.data.cases.prepared_writer import written_prepared
from chromogen.tensors import CaseBatch

SPLIT = ["train", "train", "train", "train", "train", "train", "train", "val", "test"]


def case(number: int, **changes: Any) -> PreparedCase:
    return replace(
        PreparedCase(f"c{number}", f"p{number // 2 if number < 6 else number}", SPLIT[number], (1.0, 0.5), "real"), **changes
    )


def planes(number: int, size: tuple[int, int] = (4, 6)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(number)
    return {
        "images": rng.random((2, 1, *size)).astype(np.float32),
        "lines": rng.integers(0, 2, size).astype(np.uint8),
        "organ": rng.integers(0, 2, size).astype(np.uint8),
    }


def labels(kind: str, number: int) -> dict[str, Any]:
    """Cases 0, 1 and 2 bear a lesion; or belong to class 1."""
    if kind == "mask":
        mask = np.zeros((4, 6), dtype=np.uint8)
        mask[1, 2] = 2 if number < 3 else 0
        return {"mask": mask}
    if kind == "category":
        return {"category": 1 if number < 3 else 0}
    boxes = np.array([[1, 1, 0, 3, 2], [2, 2, 1, 6, 4]], dtype=np.float32)[: 2 - number if number < 2 else 0]
    return {} if kind == "none" else {"boxes": boxes}


def written(root: Path, kind: str = "mask", numbers: tuple[int, ...] = tuple(range(9))) -> Path:
    with written_prepared(root, "toy", ("T1", "T2"), kind, ("none", "a", "b"), "CC0", "hash") as writer:
        for number in numbers:
            writer.add(case(number), **planes(number), **labels(kind, number))
    return root


def same(one: list[CaseBatch], other: list[CaseBatch]) -> bool:
    return len(one) == len(other) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)  # type: ignore[literal-required]
        for a, b in zip(one, other, strict=True)
    )


def indices(batches: list[CaseBatch]) -> list[int]:
    return [int(index) for batch in batches for index in batch["index"]]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    prepared = Prepared(written(tmp_path / "set"))
    assert len(prepared) == 9 and prepared.size_px == (4, 6) and prepared.channels == 1
    assert all(isinstance(array, np.memmap) for array in prepared.arrays.values())
    for number in range(9):
        for name, plane in planes(number).items():
            assert np.array_equal(prepared.arrays[name][number], plane.astype(prepared.arrays[name].dtype))
    assert prepared.index.cases[8] == case(8) and prepared.index.licence == "CC0" and prepared.index.made_by == "hash"
    assert prepared.of_split("train").tolist() == list(range(7)) and prepared.of_split("test").tolist() == [8]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]  # no temporary folder is left


def test_a_batch(tmp_path: Path) -> None:
    batch = Prepared(written(tmp_path / "set")).batch([3, 0])
    assert batch["images"].shape == (2, 2, 1, 4, 6) and batch["images"].dtype == torch.float32
    assert torch.equal(batch["images"][0], torch.from_numpy(planes(3)["images"].astype(np.float16).astype(np.float32)))
    assert batch["lines"].shape == batch["organ"].shape == (2, 1, 4, 6) and batch["lines"].dtype == torch.float32
    assert batch["mask"].dtype == torch.int64 and batch["mask"].sum((1, 2)).tolist() == [0, 2]
    assert batch["index"].tolist() == [3, 0] and "category" not in batch and "boxes" not in batch


def test_the_other_labels(tmp_path: Path) -> None:
    batch = Prepared(written(tmp_path / "c", "category")).batch([0, 5])
    assert batch["category"].tolist() == [1, 0] and batch["category"].dtype == torch.int64 and "mask" not in batch
    with written_prepared(tmp_path / "u", "toy", ("T1", "T2"), "category", ("a", "b")) as writer:
        writer.add(case(0), **planes(0))
    assert Prepared(tmp_path / "u").batch([0])["category"].tolist() == [-1]  # unknown
    batch = Prepared(written(tmp_path / "b", "boxes")).batch([0, 1, 5])
    assert batch["boxes"].shape == (3, 2, 5) and batch["boxes"][:, :, 0].tolist() == [[1, 2], [1, 0], [0, 0]]
    assert set(Prepared(written(tmp_path / "n", "none")).batch([0])) == {"images", "lines", "organ", "index"}


def test_mirrored_labels_go_with_their_images(tmp_path: Path) -> None:
    for kind in ("mask", "boxes"):
        prepared = Prepared(written(tmp_path / kind, kind))
        plain, turned = prepared.batch([0, 0]), prepared.batch([0, 0], [False, True])
        for name in ("images", "lines", "organ", "mask") if kind == "mask" else ("images",):
            assert torch.equal(turned[name][0], plain[name][0])  # type: ignore[literal-required]
            assert torch.equal(turned[name][1], plain[name][1].flip(-1))  # type: ignore[literal-required]
    # 6 px wide: from 0 to 3 becomes from 3 to 6, from 1... (x0 2, x1 6) becomes from 0 to 4; y stays
    assert turned["boxes"][1].tolist() == [[1, 5 - 2, 0, 5, 2], [2, 0, 1, 4, 4]]
    assert prepared.batch([5], [True])["boxes"].abs().sum() == 0


def test_resuming_at_any_step_gives_the_same_batches(tmp_path: Path) -> None:
    root = str(written(tmp_path / "set"))
    for data in (PreparedData(root), PreparedData(root, mirror=True), PreparedData(root, mirror=True, balanced=True)):
        whole = list(data.batches("train", 3, 5, 0, 8))
        for step in range(8):
            assert same(whole[step:], list(data.batches("train", 3, 5, step, 8 - step)))
        assert not same(whole, list(data.batches("train", 3, 6, 0, 8)))


def test_processes_share_the_draws_of_one(tmp_path: Path) -> None:
    data = PreparedData(str(written(tmp_path / "set")), mirror=True)
    alone = list(data.batches("train", 4, 5, 0, 3))
    shared = [list(data.batches("train", 2, 5, 0, 3, rank, 2)) for rank in range(2)]
    for step in range(3):
        for rank in range(2):
            assert torch.equal(shared[rank][step]["images"], alone[step]["images"][rank::2])


def test_every_epoch_sees_every_case_of_the_split_once(tmp_path: Path) -> None:
    seen = indices(list(PreparedData(str(written(tmp_path / "set"))).batches("train", 7, 0, 0, 4)))
    epochs = [tuple(seen[start : start + 7]) for start in range(0, 28, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs) and len(set(epochs)) == 4
    assert set(indices(list(PreparedData(str(tmp_path / "set")).batches("val", 2, 0, 0, 2)))) == {7}


@pytest.mark.parametrize("kind", ["mask", "category", "boxes"])
def test_balanced_draws_take_turns(tmp_path: Path, kind: str) -> None:
    data = PreparedData(str(written(tmp_path / "set", kind)), balanced=True)
    seen = indices(list(data.batches("train", 6, 0, 0, 4)))
    with_lesion = 2 if kind == "boxes" else 3
    assert sum(index < with_lesion for index in seen) == 12
    assert {index for index in seen} == set(range(7))


def test_only_some_image_classes_are_drawn_from(tmp_path: Path) -> None:
    """Cases 0 to 2 are of the class "a", the others of "none"; names in any case."""
    root = str(written(tmp_path / "set", "category"))
    for only, wanted in ((("A",), {0, 1, 2}), (("none",), {3, 4, 5, 6}), (("none", "a"), set(range(7))), ((), set(range(7)))):
        for balanced in (False, True):
            data = PreparedData(root, only=only, balanced=balanced)
            assert set(indices(list(data.batches("train", 6, 0, 0, 4)))) == wanted
    assert PreparedData(root, only=("a",)).describe() == f"{PreparedData(root).describe()}; drawn from a alone"
    assert list(PreparedData(root, only=("a",)).members(Prepared(root), "val")) == []
    with pytest.raises(ValueError, match="no image class is called 'an', and nothing else is to be drawn from; .* a, b, none"):
        PreparedData(root, only=("an",)).batches("train", 1, 0, 0, 1)
    with pytest.raises(ValueError, match="no image class is called 'a', .*; the label is 'mask'"):
        PreparedData(str(written(tmp_path / "masks")), only=("a",)).batches("train", 1, 0, 0, 1)


def test_mirroring_happens_half_of_the_time(tmp_path: Path) -> None:
    root = written(tmp_path / "set", numbers=(0, 7))
    plain = Prepared(root).batch([0])["images"][0]
    drawn = [batch["images"][0] for batch in PreparedData(str(root), mirror=True).batches("train", 1, 3, 0, 200)]
    turned = sum(torch.equal(image, plain.flip(-1)) for image in drawn)
    assert 70 < turned < 130 and turned + sum(torch.equal(image, plain) for image in drawn) == 200


def test_the_recipe_value(tmp_path: Path) -> None:
    data = PreparedData(str(written(tmp_path / "set")), balanced=True)
    assert from_fields(PreparedData, to_fields(data)) == data  # type: ignore[arg-type]
    assert data.describe() == "toy: 7 train (4 patients), 1 val (1 patients), 1 test (1 patients) cases with T1, T2, label mask"
    assert data.stated_licence() == "CC0" and data.stated_mpp() is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": np.full((2, 1, 4, 6), 1.5)}, r"c1: its images leave \[0, 1\]"),
        ({"images": np.full((2, 1, 4, 6), np.nan)}, r"c1: its images leave \[0, 1\]"),
        ({"images": np.zeros((1, 1, 4, 6))}, r"c1: images of shape \(1, 1, 4, 6\) are not \(2, channels, H, W\)"),
        ({"lines": np.full((4, 6), 2)}, "c1: its lines must be"),
        ({"organ": np.zeros((4, 5))}, "c1: its organ must be"),
        ({"mask": np.full((4, 6), 3)}, "c1: its mask must be .* with the classes 0 to 2"),
        ({"mask": None}, "c1: its mask must be"),
        (planes(1, (6, 4)) | {"mask": np.zeros((6, 4))}, r"c1: its images have the shape \(2, 1, 6, 4\), those before"),
    ],
)
def test_a_case_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    with (
        pytest.raises(ValueError, match=sentence),
        written_prepared(tmp_path / "s", "t", ("T1", "T2"), "mask", ("none", "a", "b")) as writer,
    ):
        writer.add(case(0), **planes(0), **labels("mask", 0))
        writer.add(case(1), **(planes(1) | labels("mask", 1) | change))
    assert list(tmp_path.iterdir()) == []


def test_sets_that_must_not_be_written(tmp_path: Path) -> None:
    def write(*cases: PreparedCase, kind: str = "none", **more: Any) -> None:
        with written_prepared(tmp_path / "s", "toy", ("T1", "T2"), kind, ("none", "a")) as writer:
            for one in cases:
                writer.add(one, **planes(0), **more)

    with pytest.raises(ValueError, match="patient 'p0' is in test and train"):
        write(case(0), case(1, split="test"))
    with pytest.raises(ValueError, match="c1 is synthetic and stands in the test split"):
        write(case(0), case(1, split="test", patient="x", origin="synthetic"))
    with pytest.raises(ValueError, match="no split is called 'tran'; did you mean 'train'"):
        write(case(0, split="tran"))
    with pytest.raises(ValueError, match="c0 was prepared already"):
        write(case(0), case(0))
    with pytest.raises(ValueError, match="no case was prepared for 'toy'"):
        write()
    with pytest.raises(ValueError, match="its category 2 is none of 0 to 1"):
        write(case(0), kind="category", category=2)
    with pytest.raises(ValueError, match=r"its boxes must be \(n, 5\)"):
        write(case(0), kind="boxes", boxes=np.array([[0, 1, 1, 2, 2]]))
    assert list(tmp_path.iterdir()) == []
    write(case(0))
    with pytest.raises(FileExistsError, match="exists already; remove it"):
        write(case(0))


def test_folders_that_are_not_whole(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="give a folder that was prepared"):
        Prepared(tmp_path)
    root = written(tmp_path / "set")
    index = json.loads((root / "index.json").read_text())

    def broken(sentence: str, **changes: Any) -> None:
        (root / "index.json").write_text(json.dumps(index | changes))
        with pytest.raises(ValueError, match=sentence):
            Prepared(root)

    broken("its format is 'other 2'", format="other 2")
    broken("images.npy is not an array of 8 cases", cases=index["cases"][:8])
    broken("images.npy and index.json differ in modalities", modalities=["T1"])
    broken("category.npy cannot be opened", label="category")
    broken("no label is called 'colour'", label="colour")
    broken("is not the index of prepared cases", cases=[{"name": "c0"}])
    broken("patient 'p0' is in train and val", cases=[index["cases"][0] | {"split": "val"}, *index["cases"][1:]])
    broken("synthetic and stands in the test split", cases=[*index["cases"][:8], index["cases"][8] | {"origin": "synthetic"}])
    (root / "index.json").write_text(json.dumps(index))
    raw = (root / "mask.npy").read_bytes()
    (root / "mask.npy").write_bytes(raw[:-10])
    with pytest.raises(ValueError, match="mask.npy cannot be opened"):
        Prepared(root)
    np.save(root / "mask.npy", np.array([{}] * 9, dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="mask.npy cannot be opened"):
        Prepared(root)


def test_batches_that_are_not_possible(tmp_path: Path) -> None:
    data = PreparedData(str(written(tmp_path / "set", "none", (0, 1))))
    with pytest.raises(ValueError, match="has no case in the split val"):
        data.batches("val", 1, 0, 0, 1)
    with pytest.raises(ValueError, match="no split is called 'valid'; did you mean 'val'"):
        data.batches("valid", 1, 0, 0, 1)
    with pytest.raises(ValueError, match="balanced needs labels"):
        replace(data, balanced=True).batches("train", 1, 0, 0, 1)
    with pytest.raises(ValueError, match="batch_size 0"):
        data.batches("train", 0, 0, 0, 1)
