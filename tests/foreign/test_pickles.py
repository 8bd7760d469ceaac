"""Files that try things: refused in one sentence by the process apart, and nothing of them has run."""

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from chromogen.foreign import child, pickles
from chromogen.foreign.pickles import opened

Saved = Callable[..., Path]


class Trap:
    """Unpickled without care, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def refusal(path: Path) -> str:
    with pytest.raises(ValueError) as caught, opened(path):
        pass
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_pickle_that_wants_code_is_refused_by_the_process_and_does_not_run(saved: Saved, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = saved({"model.1.weight": torch.zeros(3), "more": Trap(marker)})
    torch.load(path, weights_only=False)
    assert marker.exists(), "the trap must work where nobody is careful"
    marker.rmdir()
    assert "mkdir" in refusal(path) and not marker.exists()


def test_the_process_gives_up_what_claims_too_much_memory_or_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.pth"
    torch.save({"w": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    thousand, quadrillion = b"M" + struct.pack("<H", 1000), b"\x8a\x08" + struct.pack("<q", 2**50)
    assert path.read_bytes().count(thousand) == 2, "the number of stored values, and of the tensor's"
    path.write_bytes(path.read_bytes().replace(thousand, quadrillion, 1))
    assert "it asks for more than 1.0 GiB of memory" in refusal(path)
    monkeypatch.setattr(pickles, "SECONDS", 0.01)
    assert "took longer" in refusal(path)


def test_the_process_hands_back_every_group_as_it_was(saved: Saved) -> None:
    nested = {
        "G": {"a.weight": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)},
        "epoch": 4,
        "opt": {"state": {0: {"x": 1}}},
    }
    with opened(saved(nested)) as file:
        (group,) = file.groups
        assert group.path == ("G",) and group.shapes == {"a.weight": (2, 3), "n": ()}
        assert torch.equal(file.tensor(group, "a.weight"), nested["G"]["a.weight"]) and int(file.tensor(group, "n")) == 3


@pytest.mark.usefixtures("in_process")
def test_files_of_pytorch_before_1_6_are_read_too(tmp_path: Path) -> None:
    torch.save({"w": torch.arange(5.0)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with opened(tmp_path / "old.pth") as file:
        assert torch.equal(file.tensor(file.groups[0], "w"), torch.arange(5.0))


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (nn.Identity(), "torch.nn.modules.linear.Identity"),
        ({"w": torch.zeros(2), "psnr": np.float64(3)}, "numpy"),
        ({"w": torch.zeros(1).expand(10**9)}, "claims 4,000,000,000 bytes, of which 4 are there"),
        ({f"w{i}": tensor for tensor in (torch.zeros(10**5),) for i in range(40)}, "together larger"),
        ({"w": torch.zeros(2, 2).to_sparse()}, "another kind"),
        ({"w": torch.zeros(2, dtype=torch.complex64)}, "another kind"),
        ({"epoch": 3}, "no tensor with a name"),
        ({"G": {"a\x1b[2J": torch.zeros(2)}}, r"a name that no layer has: 'a\x1b[2J'"),
        ({"two\nlines": {"w": torch.zeros(2)}}, "a name that no layer has"),
        ({"\udcff": torch.zeros(2)}, "a name that no layer has"),
        ({"w" * 301: torch.zeros(2)}, "a name that no layer has"),
        ([torch.zeros(2)], "no tensor with a name"),
        ([{"w": torch.zeros(1).expand(10**6)}], "claims 4,000,000 bytes"),
    ],
)
def test_what_is_no_plain_state_dict_is_refused(value: object, told: str, saved: Saved) -> None:
    assert told in refusal(saved(value))


@pytest.mark.usefixtures("in_process")
def test_containers_inside_one_another_come_to_an_end(saved: Saved) -> None:
    circle: dict = {}
    circle["again"] = circle
    assert "no tensor with a name" in refusal(saved(circle))
    many: dict = {"w": torch.zeros(1)}
    for _ in range(6):
        many = {str(number): many for number in range(20)}
    assert "inside one another" in refusal(saved(many))


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_file_cut_short_says_so(zipped: bool, share: float, tmp_path: Path) -> None:
    path = tmp_path / "short.pth"
    torch.save({"w": torch.zeros(500), "v": torch.ones(500)}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "damaged or cut short" in refusal(path)


@pytest.mark.usefixtures("in_process")
def test_an_archive_that_claims_more_than_it_has_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the claim comes first"))
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(10**7))
    assert "nothing was unpacked" in refusal(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "web page"),
    ],
)
def test_files_that_are_not_weights_are_named(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    assert told in refusal(path)


def test_a_folder_names_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "latest_net_G.pth").touch()
    assert "latest_net_G.pth" in refusal(tmp_path)
    assert "there is no file" in refusal(tmp_path / "none.pth")


def test_a_file_too_large_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    with path.open("wb") as handle:
        handle.truncate(5 * 2**30)  # takes no disk
    assert "5.0 GiB" in refusal(path)


def test_the_child_knows_nothing_of_chromogen() -> None:
    """It runs as a script: an import of ours would find nothing, or read more code than it needs."""
    assert "import chromogen" not in (text := Path(child.__file__).read_text()) and "from chromogen" not in text
