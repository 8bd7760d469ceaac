"""Every layout of stained pairs that is known, written as a miniature: a few small images of phantom tissue.

`LAYOUTS` names them; `write(name, root)` writes one and says what must be found. Tests of layouts, of `data check` and of
recipes take them as parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from chromogen.phantom.tissue.phantom import Phantom, draw

SIDE_PX = 32


@dataclass(frozen=True)
class Miniature:
    """What a layout's reader must find: its name, the pairs by name with their split, and the groups where they are known."""

    layout: str
    splits: dict[str, list[str]] = field(default_factory=dict)  # split -> names
    groups: dict[str, str] = field(default_factory=dict)


@cache
def tissue(number: int, side_px: int = SIDE_PX) -> tuple[np.ndarray, np.ndarray]:
    """H&E and IHC of one place, uint8 RGB; another number is another place."""
    pair = draw(Phantom(size_px=96), number % 4, 1000 + number)
    return pair.he[:side_px, :side_px], pair.ihc[:side_px, :side_px]


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)
    return path


def write_pairs(root: Path, he: str, ihc: str, names: list[str], first: int = 0) -> None:
    """Write a pair for each of `names`: `he` and `ihc` are paths below `root` with {} for the name."""
    for number, name in enumerate(names, start=first):
        for template, image in zip((he, ihc), tissue(number), strict=True):
            save(root / template.format(name), image)


def _folders(layout: str, he: str, ihc: str, suffixes: tuple[str, str] = (".png", ".png")) -> Callable[[Path], Miniature]:
    """Two places in each of two splits, {split} where `he` and `ihc` say it; else no split."""

    def write(root: Path) -> Miniature:
        found: dict[str, list[str]] = {}
        for first, split in ((0, "train"), (2, "test")) if "{split}" in he else ((0, ""),):
            names = [f"p{first + k}" for k in range(2)]
            sides = [template.replace("{split}", split) + suffix for template, suffix in zip((he, ihc), suffixes, strict=True)]
            write_pairs(root, sides[0], sides[1], names, first)
            found[split] = names
        return Miniature(layout, found)

    return write


def _mist(root: Path) -> Miniature:
    names = [f"{slide}M2102762_{place}_26" for slide in (15, 100) for place in (15, 18)]
    write_pairs(root, "TrainValAB/trainA/{}.jpg", "TrainValAB/trainB/{}.jpg", names)
    write_pairs(root, "TrainValAB/valA/{}.jpg", "TrainValAB/valB/{}.jpg", ["7M2000001_1_1"], first=4)
    groups = {name: name.split("_")[0] for name in [*names, "7M2000001_1_1"]}
    return Miniature("cut", {"train": names, "val": ["7M2000001_1_1"]}, groups)


def _mist_from_above(root: Path) -> Miniature:
    return _mist(root / "HER2")


def _bci(root: Path) -> Miniature:
    write_pairs(root, "HE/train/{}.png", "IHC/train/{}.png", ["00000_train_1+", "00001_train_3+"])
    write_pairs(root, "HE/test/{}.png", "IHC/test/{}.png", ["00000_test_0"], first=2)
    return Miniature("bci", {"train": ["00000_train_1+", "00001_train_3+"], "test": ["00000_test_0"]})


def _bci_in_one_folder(root: Path) -> Miniature:
    write_pairs(root, "HE/{}.png", "IHC/{}.png", ["00000_train_1+", "00001_train_3+", "00000_test_0"])
    return Miniature("bci", {"train": ["00000_train_1+", "00001_train_3+"], "test": ["00000_test_0"]})


def _patients(he: str, ihc: str, layout: str) -> Callable[[Path], Miniature]:
    def write(root: Path) -> Miniature:
        for number, patient in enumerate(("patientA", "patientB")):
            write_pairs(root, he.replace("{patient}", patient), ihc.replace("{patient}", patient), ["1", "2"], 2 * number)
        names = [f"{patient}/{place}" for patient in ("patientA", "patientB") for place in "12"]
        return Miniature(layout, {"": names}, {name: name[:8] for name in names})

    return write


def _files_of_patients(root: Path) -> Miniature:
    for number, patient in enumerate(("patientA", "patientB")):
        write_pairs(root, f"{patient}/HE.png", f"{patient}/IHC.png", [""], number)
    return Miniature("names", {"": ["patientA", "patientB"]}, {"patientA": "patientA", "patientB": "patientB"})


def _numbered(root: Path) -> Miniature:
    write_pairs(root, "HE{}.png", "IHC{}.png", ["1", "2"])
    return Miniature("names", {"": ["1", "2"]})


def _side_by_side(folder: str) -> Callable[[Path], Miniature]:
    def write(root: Path) -> Miniature:
        for number in range(2):
            save(root / folder / f"p{number}.png", np.hstack(tissue(number)))
        split = folder.rpartition("/")[2] if folder.rpartition("/")[2] in ("train", "test") else ""
        return Miniature("ab", {split: ["p0", "p1"]})

    return write


def _pix2pix_results(root: Path) -> Miniature:
    write_pairs(root, "images/{}_real_A.png", "images/{}_real_B.png", ["p0", "p1"])
    for number, name in enumerate(("p0", "p1")):
        save(root / f"images/{name}_fake_B.png", tissue(number + 5)[1])
    return Miniature("names", {"": ["p0", "p1"]})


def _manifest(separator: str, encoding: str, mpp: str = "0.5") -> Callable[[Path], Miniature]:
    def write(root: Path) -> Miniature:
        write_pairs(root, "x/{}.png", "y/{}.png", ["grün0", "grün1"])
        lines = [
            ("id", "he", "ihc", "split", "mpp"),
            *((f"p{k}", f"x/grün{k}.png", f"y/grün{k}.png", "train", mpp) for k in range(2)),
        ]
        (root / "manifest.csv").write_bytes("\r\n".join(map(separator.join, lines)).encode(encoding))
        return Miniature("manifest", {"train": ["p0", "p1"]})

    return write


LAYOUTS: dict[str, Callable[[Path], Miniature]] = {
    "BCI": _bci,
    "BCI in one folder": _bci_in_one_folder,
    "HE, IHC": _folders("bci", "HE/{}", "IHC/{}"),
    "he, ihc": _folders("bci", "he/{}", "ihc/{}"),
    "HE/train": _folders("bci", "HE/{split}/{}", "IHC/{split}/{}"),
    "train/HE": _folders("bci", "{split}/HE/{}", "{split}/IHC/{}"),
    "Train/he": _folders("bci", "{split}/he/{}", "{split}/Ihc/{}", (".JPG", ".png")),
    "HE_train": _folders("bci", "HE_{split}/{}", "IHC_{split}/{}"),
    "train_HE": _folders("bci", "{split}_HE/{}", "{split}_IHC/{}"),
    "HE, HER2": _folders("folders", "HE/{}", "HER2/{}"),
    "he, her2": _folders("folders", "he/{}", "her2/{}"),
    "train/he, train/her2": _folders("folders", "{split}/he/{}", "{split}/her2/{}"),
    "H&E, IHC": _folders("bci", "H&E/{}", "IHC/{}"),
    "H_E, Ki-67": _folders("folders", "H_E/{}", "Ki-67/{}"),
    "HE_images": _folders("bci", "HE_images/{}", "IHC_images/{}"),
    "HES, immunohistochimie": _folders("bci", "HES/{}", "immunohistochimie/{}"),
    "HE染色, IHC染色": _folders("bci", "HE染色/{}", "IHC染色/{}"),
    "HE (1), IHC (HER2)": _folders("bci", "HE (1)/{}", "IHC (HER2)/{}"),
    "HE_registered": _folders("bci", "HE_registered/{}", "IHC_registered/{}"),
    "HE-Färbung, HER2-Färbung": _folders("folders", "HE-Färbung/{}", "HER2-Färbung/{}"),
    "Hematoxylin and Eosin": _folders("folders", "Hematoxylin and Eosin/{}", "HER2/{}"),
    "input, target": _folders("folders", "input/{}", "target/{}"),
    "train/input": _folders("folders", "{split}/input/{}", "{split}/target/{}"),
    "inputs, targets": _folders("folders", "Inputs/{}", "Targets/{}"),
    "source, target": _folders("folders", "source/{}", "target/{}", (".png", ".tif")),
    "source/HE, target/IHC": _folders("bci", "source/HE/{}", "target/IHC/{}"),
    "A, B": _folders("cut", "A/{}", "B/{}"),
    "trainA": _folders("cut", "{split}A/{}", "{split}B/{}"),
    "train_A": _folders("cut", "{split}_A/{}", "{split}_B/{}"),
    "A/train": _folders("cut", "A/{split}/{}", "B/{split}/{}"),
    "train/A": _folders("cut", "{split}/A/{}", "{split}/B/{}"),
    "MIST": _mist,
    "MIST from above": _mist_from_above,
    "patient/HE": _patients("{patient}/HE/{}.png", "{patient}/IHC/{}.png", "bci"),
    "HE/patient": _patients("HE/{patient}/{}.png", "IHC/{patient}/{}.png", "bci"),
    "patient/x_HE": _patients("{patient}/{}_HE.png", "{patient}/{}_IHC.png", "names"),
    "patient/HE.png": _files_of_patients,
    "x_HE, x_IHC": _folders("names", "{}_HE", "{}_IHC"),
    "x_he, x_ihc": _folders("names", "{}_he", "{}_ihc", (".jpg", ".PNG")),
    "x-HE, x-HER2": _folders("names", "{}-HE", "{}-HER2"),
    "HE_x, IHC_x": _folders("names", "HE_{}", "IHC_{}"),
    "HE1, IHC1": _numbered,
    "x.HE, x.IHC": _folders("names", "{}.HE", "{}.IHC"),
    "BCI/HE/train": _folders("bci", "BCI/HE/{split}/{}", "BCI/IHC/{split}/{}"),
    "trainHE": _folders("bci", "{split}HE/{}", "{split}IHC/{}"),
    "HE/x_HE, HER2/x_HER2": _folders("folders", "HE/{}_HE", "HER2/{}_HER2"),
    "train/x_HE": _folders("names", "{split}/{}_HE", "{split}/{}_IHC"),
    "HE/x_HE": _folders("bci", "HE/{}_HE", "IHC/{}_IHC"),
    "x_real_A, x_real_B": _folders("names", "{}_real_A", "{}_real_B"),
    "real_A/x": _folders("cut", "real_A/{}", "real_B/{}"),
    "x_A, x_B": _folders("names", "{}_A", "{}_B"),
    "x_input, x_target": _folders("names", "{}_input", "{}_target"),
    "pix2pix results": _pix2pix_results,
    "side by side": _side_by_side("."),
    "side by side, train": _side_by_side("train"),
    "side by side, AB/test": _side_by_side("AB/test"),
    "manifest": _manifest(",", "utf-8"),
    "manifest; of Windows": _manifest(";", "cp1252", "0,5"),
    "manifest, tabs, UTF-16": _manifest("\t", "utf-16", "0,5"),
    "manifest; with a mark": _manifest(";", "utf-8-sig", "0,499"),
}


def write(name: str, root: Path) -> Miniature:
    """Write the layout called `name` into `root`."""
    return LAYOUTS[name](root)
