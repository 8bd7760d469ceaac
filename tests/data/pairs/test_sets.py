import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromogen.config import from_fields, to_fields
from chromogen.data.images import PairImages
from chromogen.data.pairs.sets import FolderData, PhantomData, survey
from chromogen.phantom.tissue.phantom import Phantom, draw


def write(path: Path, seed: int, height: int = 16, width: int = 16) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(image).save(path)
    return image


def bci(root: Path, count: int = 10, split: str = "") -> Path:
    for index in range(count):
        for k, side in enumerate(("HE", "IHC")):
            write(root / side / split / f"{index:05d}_train_{('0', '1+', '2+', '3+')[index % 4]}.png", 2 * index + k)
    return root


def test_whole_pairs_with_level_and_group(tmp_path: Path) -> None:
    pairs = FolderData(bci(tmp_path), crop_px=8, validation_share=0).open("train")
    assert len(pairs) == pairs.target_count == 10
    assert pairs.names[1] == "00001_train_1+" and pairs.levels == (0, 1, 2, 3, 0, 1, 2, 3, 0, 1)
    assert pairs.groups[1] == "00001_train"
    one = pairs[3]
    assert (one.name, one.level) == ("00003_train_3+", 3)
    assert np.array_equal(one.source, np.asarray(Image.open(tmp_path / "HE/00003_train_3+.png")))
    assert np.array_equal(one.target, np.asarray(Image.open(tmp_path / "IHC/00003_train_3+.png")))
    assert np.array_equal(pairs[-1].source, pairs[9].source)
    with pytest.raises(IndexError):
        pairs[10]
    assert len(list(pairs)) == 10  # the protocol of iteration ends by that IndexError


def test_the_split_is_by_file_repeatable_and_disjoint(tmp_path: Path) -> None:
    data = FolderData(bci(tmp_path, 20), crop_px=8, validation_share=0.2)
    train, val = data.open("train").names, data.open("val").names
    assert len(val) == 4 and len(train) == 16 and not set(train) & set(val)
    assert data.open("val").names == val
    assert "16 training and 4 validation pairs" in data.describe()
    assert len(replace(data, validation_share=0).open("val")) == 0


def test_a_new_file_moves_few_others(tmp_path: Path) -> None:
    data = FolderData(bci(tmp_path, 20), crop_px=8, validation_share=0.2)
    before = set(data.open("val").names)
    bci(tmp_path, 21)
    assert len(before & set(data.open("val").names)) >= 3


def test_the_split_is_by_patient(tmp_path: Path) -> None:
    rows = ["he,ihc,patient"]
    for index in range(12):
        write(tmp_path / f"a{index}.png", index)
        rows.append(f"a{index}.png,a{index}.png,P{index // 3}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    data = FolderData(tmp_path, crop_px=8, validation_share=0.25)
    train, val = data.open("train"), data.open("val")
    assert (len(train), len(val)) == (9, 3)
    assert len(set(val.groups)) == 1 and not set(train.groups) & set(val.groups)
    # a patient of whom one image is held out does not train either
    held = replace(data, held_out=("a4.png",))
    assert held.open("val").names == ("a4",)
    assert "P1" not in held.open("train").groups and len(held.open("train")) == 9


def test_one_patient_cannot_be_split(tmp_path: Path) -> None:
    write(tmp_path / "a.png", 0)
    (tmp_path / "manifest.csv").write_text("he,ihc,patient,id\na.png,a.png,P,1\na.png,a.png,P,2\n")
    with pytest.raises(ValueError, match="0.1 of 1 groups.*set data.validation-share 0"):
        FolderData(tmp_path, crop_px=8).open("train")


def test_a_layouts_own_splits_are_used_and_test_never_trains(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 2), ("test", 4)):
        bci(tmp_path, count, split)
    data = FolderData(tmp_path, crop_px=8)
    assert (len(data.open("train")), len(data.open("val"))) == (3, 2)
    shutil.rmtree(tmp_path / "HE/train")
    shutil.rmtree(tmp_path / "HE/val")
    with pytest.raises(ValueError, match=r"leaves no pair to train on \(a test split never trains\)"):
        data.open("train")


def test_held_out_pairs_validate_and_do_not_train(tmp_path: Path) -> None:
    data = FolderData(bci(tmp_path, 6), crop_px=8, held_out=("00001_train_1+.png", "00004_train_0"))
    assert data.open("val").names == ("00001_train_1+", "00004_train_0")
    assert data.open("train").names == ("00000_train_0", "00002_train_2+", "00003_train_3+", "00005_train_1+")
    with pytest.raises(ValueError, match=r"held_out '00001_train_2\+' is not in .*did you mean"):
        replace(data, held_out=("00001_train_2+",)).open("train")


def test_renaming_the_level_changes_no_pixel_and_no_split(tmp_path: Path) -> None:
    first = FolderData(bci(tmp_path / "a", 8), crop_px=8, validation_share=0.25)
    for path in (tmp_path / "a").glob("*/*.png"):
        renamed = tmp_path / "b" / path.parent.name / f"{path.stem.rpartition('_')[0]}_3+.png"
        renamed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, renamed)
    second = replace(first, root=tmp_path / "b")
    for split in ("train", "val"):
        one, other = first.open(split), second.open(split)
        assert one.levels != other.levels and set(other.levels) == {3}
        for a, b in zip(one, other, strict=True):
            assert a.source.tobytes() == b.source.tobytes() and a.target.tobytes() == b.target.tobytes()


def test_unequal_sizes_name_both_files_before_training(tmp_path: Path) -> None:
    bci(tmp_path, 3)
    write(tmp_path / "IHC/00001_train_1+.png", 0, 16, 20)
    with pytest.raises(ValueError, match=r"HE/00001_train_1\+\.png is 16 x 16 px, .*IHC/00001_train_1\+\.png is 20 x 16 px"):
        FolderData(tmp_path, crop_px=8, validation_share=0).open("train")


def test_images_smaller_than_the_crop(tmp_path: Path) -> None:
    data = FolderData(bci(tmp_path, 2), crop_px=32, validation_share=0)
    with pytest.raises(ValueError, match=r"00000_train_0\.png is 16 x 16 px, smaller than crop_px 32"):
        data.open("train")
    assert replace(data, resize_px=40).open("train")[0].source.shape == (40, 40, 3)
    assert len(replace(data, validation_share=0.5).open("val")) == 1  # whole images: no crop to fit


def test_unpaired_targets_smaller_than_the_crop_or_missing(tmp_path: Path) -> None:
    write(tmp_path / "trainA/a.png", 0, 32, 32)
    write(tmp_path / "trainB/b.png", 1, 20, 40)
    data = FolderData(tmp_path, crop_px=32, validation_share=0, unpaired=True)
    with pytest.raises(ValueError, match=r"b\.png is 40 x 20 px, smaller than crop_px 32"):
        data.open("train")
    assert replace(data, crop_px=20).open("train").target_count == 1
    (tmp_path / "trainB/c.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError, match=r"c\.png"):
        replace(data, crop_px=20).open("train")
    (tmp_path / "trainB").rename(tmp_path / "testB")
    with pytest.raises(ValueError, match="leaves no target to train on"):
        data.open("train")


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        (FolderData, {"resize_px": 0}, "data.resize_px is 0; it must be at least 1"),
        (FolderData, {"mpp": -0.5}, "data.mpp is -0.5; write micrometres per pixel"),
        (FolderData, {"crop_px": 0}, "data.crop_px is 0"),
        (PhantomData, {"train_pairs": 0}, "data.train_pairs is 0.*at least 1 pair must train"),
        (PhantomData, {"validation_pairs": -1}, "data.validation_pairs -1"),
        (PhantomData, {"seed": -1}, "data.seed -1"),
        (PhantomData, {"crop_px": 0}, "data.crop_px is 0"),
    ],
)
def test_impossible_fields(kind: type, fields: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        kind(**({"root": Path("BCI")} if kind is FolderData else {}), **fields)


def stated(tmp_path: Path, rows: list[str], **fields: object) -> tuple[float | None, str]:
    (tmp_path / "manifest.csv").write_text("\n".join(["he,ihc,split,mpp,licence", *rows]))
    data = FolderData(tmp_path, validation_share=0, **fields)  # type: ignore[arg-type]
    return data.stated_mpp(), data.stated_licence()


def test_what_the_manifest_states_of_the_images_that_train(tmp_path: Path) -> None:
    for k, name in enumerate("abc"):
        write(tmp_path / f"{name}.png", k, 16, 24)
    rows = ["a.png,a.png,train,0.46,CC0", "b.png,b.png,train,0.46,CC0", "c.png,c.png,test,0.25,secret"]
    assert stated(tmp_path, rows) == (0.46, "CC0")
    assert stated(tmp_path, rows, mpp=0.5, licence="mine") == (0.5, "mine")
    assert stated(tmp_path, [*rows[:1], "b.png,b.png,train,0.5,CC-BY-4.0"]) == (None, "CC-BY-4.0; CC0")
    assert stated(tmp_path, [*rows[:1], "b.png,b.png,train,,"]) == (None, "CC0; not stated for some images")
    assert stated(tmp_path, ["a.png,a.png,train,,"]) == (None, "")
    without = FolderData(bci(tmp_path / "set", 2), validation_share=0)
    assert (without.stated_mpp(), without.stated_licence()) == (None, "")


def test_resizing_scales_the_stated_resolution(tmp_path: Path) -> None:
    """16 px brought to 8 px: a pixel is twice as large."""
    for k, name in enumerate("ab"):
        write(tmp_path / f"{name}.png", k, 16, 24)
    rows = ["a.png,a.png,train,0.46,", "b.png,b.png,train,0.46,"]
    assert stated(tmp_path, rows, resize_px=8)[0] == pytest.approx(0.92)
    assert stated(tmp_path, rows, resize_px=8, mpp=0.5)[0] == pytest.approx(1.0)
    write(tmp_path / "b.png", 1, 32, 32)
    assert stated(tmp_path, rows, resize_px=8)[0] is None
    assert stated(tmp_path, [rows[0], "b.png,b.png,train,0.23,"], resize_px=8)[0] == pytest.approx(0.92)


def test_phantoms_state_what_they_are() -> None:
    data = PhantomData(Phantom(mpp=0.3))
    assert data.stated_mpp() == 0.3 and data.stated_licence() == data.licence


def test_every_pair_of_a_held_out_name_is_held_out(tmp_path: Path) -> None:
    bci(tmp_path, 3)
    bci(tmp_path, 3, "train")
    data = FolderData(tmp_path, crop_px=8, held_out=("00001_train_1+",))
    assert data.open("val").names == ("00001_train_1+",) * 2
    assert sorted(data.open("train").names) == sorted(["00000_train_0", "00002_train_2+"] * 2)


def test_held_out_beside_a_val_split_is_refused(tmp_path: Path) -> None:
    bci(tmp_path, 3, "train")
    bci(tmp_path, 2, "val")
    with pytest.raises(ValueError, match="has a val split of 2 pairs, and held_out names others"):
        FolderData(tmp_path, crop_px=8, held_out=("00001_train_1+",)).open("train")


def test_a_corrupt_file_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = bci(tmp_path, 3) / "IHC/00002_train_2+.png"
    path.write_bytes(path.read_bytes()[:200])
    pairs = FolderData(tmp_path, crop_px=8, validation_share=0).open("train")
    assert pairs[0].target is not None and pairs[1].target is not None
    with pytest.raises(ValueError, match=r"00002_train_2\+\.png is damaged or cut short"):
        pairs[2]


def test_side_by_side(tmp_path: Path) -> None:
    both = write(tmp_path / "train/1.png", 0, 8, 16)
    pairs = FolderData(tmp_path, crop_px=8, validation_share=0).open("train")
    assert np.array_equal(pairs[0].source, both[:, :8]) and np.array_equal(pairs[0].target, both[:, 8:])
    write(tmp_path / "train/2.png", 0, 8, 15)
    with pytest.raises(ValueError, match="look like side-by-side pairs"):
        FolderData(tmp_path).open("train")


def test_unpaired_sets_need_to_be_asked_for(tmp_path: Path) -> None:
    sources = [write(tmp_path / f"trainA/a{k}.png", k) for k in range(3)]
    targets = [write(tmp_path / f"trainB/b{k}.png", 10 + k, 20, 24) for k in range(2)]
    data = FolderData(tmp_path, crop_px=8, validation_share=0)
    with pytest.raises(ValueError, match="this is an unpaired set; set data.unpaired"):
        data.open("train")
    pairs = replace(data, unpaired=True).open("train")
    assert (len(pairs), pairs.target_count) == (3, 2)
    assert pairs[1].target is None and np.array_equal(pairs[1].source, sources[1])
    assert np.array_equal(pairs.target(1), targets[1])


def test_what_is_decoded_is_kept_within_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import chromogen.data.pairs.sets as module

    read: list[str] = []
    monkeypatch.setattr(module, "read_image", lambda path: read.append(path.name) or np.zeros((16, 16, 3), np.uint8))
    pair_bytes = 2 * 16 * 16 * 3
    data = FolderData(bci(tmp_path, 4), crop_px=8, validation_share=0, cache_gib=2.5 * pair_bytes / 2**30)
    pairs = data.open("train")
    for index in (0, 1, 0):
        pairs[index]
    assert len(read) == 4  # two pairs of two files, once each
    pairs[2]  # there is room for two: the longest unused, 1, leaves
    pairs[0]
    assert len(read) == 6
    pairs[1]
    assert len(read) == 8
    nothing = data.open("train", readers=10**6)
    nothing[0], nothing[0]
    assert len(read) == 12


def test_phantom_pairs_repeat_and_are_disjoint() -> None:
    data = PhantomData(Phantom(size_px=32), train_pairs=6, validation_pairs=4, seed=5)
    train, val = data.open("train"), data.open("val")
    assert (len(train), len(val)) == (6, 4)
    assert train.levels == (0, 1, 2, 3, 0, 1) and train.names[3] == "00003_train_3+"
    again = data.open("train")[2]
    assert again.source.tobytes() == train[2].source.tobytes() and again.level == 2
    images = {pair.source.tobytes() for pairs in (train, val) for pair in pairs}
    assert len(images) == 10
    assert replace(data, seed=6).open("train")[2].source.tobytes() not in images
    with pytest.raises(IndexError):
        val[4]


def test_phantom_pairs_are_what_draw_draws() -> None:
    pairs = PhantomData(Phantom(size_px=32), train_pairs=3, seed=5).open("train")
    seed = int(np.random.SeedSequence([5, 0, 2]).generate_state(1, np.uint64)[0])
    expected = draw(Phantom(size_px=32), 2, seed)
    assert np.array_equal(pairs[2].source, expected.he) and np.array_equal(pairs[2].target, expected.ihc)


def test_phantom_smaller_than_the_crop() -> None:
    with pytest.raises(ValueError, match="crop-px 64 is larger than the phantom's 32 px"):
        PhantomData(Phantom(size_px=32), crop_px=64).open("train")


@pytest.mark.parametrize(
    "data", [FolderData(Path("BCI"), held_out=("a", "b"), mpp=0.46), PhantomData(Phantom(size_px=64), seed=3)]
)
def test_data_values_survive_json(data: FolderData | PhantomData) -> None:
    assert from_fields(type(data), to_fields(data)) == data


def test_real_pairs_two_held_out(bci_dev: Path) -> None:
    data = FolderData(bci_dev, held_out=("00057_test_3+", "00249_test_2+"))
    assert (len(data.open("train")), data.open("val").names) == (6, ("00057_test_3+", "00249_test_2+"))
    pair = data.open("val")[0]
    assert pair.source.shape == (1024, 1024, 3) and pair.target is not None and pair.target.shape == (1024, 1024, 3)
    assert data.describe() == "bci_dev (bci layout): 6 training and 2 validation pairs"


def test_a_survey_sees_every_pair_in_order_and_keeps_no_image(tmp_path: Path) -> None:
    files = FolderData(bci(tmp_path, 6), crop_px=8, validation_share=0).open("train")
    phantoms = PhantomData(Phantom(size_px=16), train_pairs=3).open("train")
    for pairs, count in ((files, 6), (phantoms, 3)):
        seen = survey(pairs, _name_and_first_pixel)
        assert len(seen) == count and not pairs._memory.held
        assert seen == tuple((one.name, int(one.source[0, 0, 0])) for one in pairs)


def _name_and_first_pixel(images: PairImages) -> tuple[str, int]:
    return images.name, int(images.source[0, 0, 0])


def test_sets_of_the_same_images_have_one_identity(tmp_path: Path) -> None:
    data = FolderData(bci(tmp_path, 4), crop_px=8, validation_share=0)
    identity = data.open("train").identity()
    assert replace(data, crop_px=4, cache_gib=0, flip_only=True).open("train").identity() == identity
    assert replace(data, resize_px=12).open("train").identity() != identity
    assert replace(data, validation_share=0.25).open("train").identity() != identity
    write(tmp_path / "IHC/00002_train_2+.png", 99)
    assert data.open("train").identity() != identity
    phantoms = PhantomData(train_pairs=3)
    assert phantoms.open("train").identity() == PhantomData(train_pairs=3, stain_jitter=0.2).open("train").identity()
    assert (
        len({d.open("train").identity() for d in (phantoms, replace(phantoms, seed=1), replace(phantoms, train_pairs=4))}) == 3
    )
    assert phantoms.open("train").identity() != replace(phantoms, validation_pairs=3).open("val").identity()
