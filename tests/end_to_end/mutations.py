"""Folders such as people have, with faults such as they have: names, sizes, modes, files that are none, CSVs, layouts.

A `Mess` is drawn by hypothesis, so that a failing one is made smaller by itself; `write` puts it on disk.
"""

import io
import itertools
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from hypothesis import strategies as st
from PIL import Image

SIDES = st.integers(1, 48)
LETTERS = "abHE.IC_- 019²٣éé#[]%&'ÄßΩ漢+()@~$"  # a letter of each kind that a name may hold, composed and decomposed
NAMES = st.one_of(
    st.sampled_from(
        ["a", "a1", "a2", "a10", "A", "HE", "HE2", "00001_test_3+", "00001_train_0", "x_HE", "x_IHC", "mask", ".hidden", "._a"]
    ),
    st.text(LETTERS, min_size=1, max_size=12),
)
SUFFIXES = st.sampled_from([".png", ".PNG", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".txt", ".csv", ""])
KINDS = st.sampled_from(
    [
        *("rgb", "rgb", "rgb", "grey", "two-level", "palette", "rgba", "clear", "grey-alpha", "grey16", "cmyk", "jpeg", "gif"),
        *(
            "tiff16",
            "tiff12",
            "tiff-float",
            "tiff-five",
            "tiff-pages",
            "tiff-planar",
            "tiff-zlib",
            "tiff-bilevel",
            "tiff-uint32",
        ),
        *("constant", "black", "cut", "flipped", "text", "empty", "folder", "numbers"),
    ]
)
FOLDERS = st.sampled_from(
    ["", "HE", "IHC", "HE/train", "IHC/train", "he", "trainA", "trainB", "testA", "testB", "input", "target", "patientA/HE",
     "patientA/IHC", "Training/HE", "Testing/HE", "normal", "tumour", "HE2", "images", "masks", "deep/deeper/deepest"]
)  # fmt: skip
LINES = st.text("abHEIC_,;\t\"'./\\0123+é\n\r ", max_size=60)
HEADS = st.sampled_from(
    ["he,ihc", "he;ihc;her2", "source\ttarget", "he", "name,slide", "HE , IHC", "he,ihc,split,her2,slide", ""]
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"])


@dataclass(frozen=True)
class Table:
    """A CSV file of pairs: lines of anything, and where `true` is set the files that are there."""

    head: str
    lines: tuple[str, ...]
    true: bool
    encoding: str

    def write(self, path: Path) -> None:
        files = sorted(str(file.relative_to(path.parent)) for file in path.parent.rglob("*") if file.is_file())
        separator = next((letter for letter in ",;\t" if letter in self.head), ",")
        rows = [separator.join((one, other)) for one, other in itertools.pairwise(files)] if self.true else []
        path.write_bytes("\n".join([self.head, *rows, *self.lines]).encode(self.encoding, "replace"))


TABLES = st.builds(Table, HEADS, st.lists(LINES, max_size=3).map(tuple), st.booleans(), ENCODINGS)


@dataclass(frozen=True)
class File:
    folder: str
    name: str
    suffix: str
    kind: str
    height: int
    width: int
    seed: int

    def write(self, root: Path) -> None:
        stem = self.name.replace("/", "").strip("\0") or "a"
        path = root / self.folder / (stem + self.suffix)
        if path.exists() or (stem + self.suffix) in (".", ".."):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.kind == "folder":
            path.mkdir()
        else:
            path.write_bytes(_content(self))


@dataclass(frozen=True)
class Mess:
    files: tuple[File, ...]
    twins: tuple[str, ...]  # folders that get the files of the first folder again, so that some names do pair
    table: Table | None

    def write(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        for file in self.files:
            for folder in (file.folder, *self.twins):
                File(folder, file.name, file.suffix, file.kind, file.height, file.width, file.seed).write(root)
        if self.table is not None:
            self.table.write(root / "pairs.csv")


FILES = st.builds(File, FOLDERS, NAMES, SUFFIXES, KINDS, SIDES, SIDES, st.integers(0, 99))
MESSES = st.builds(
    Mess,
    st.lists(FILES, min_size=1, max_size=5).map(tuple),
    st.lists(FOLDERS, max_size=2, unique=True).map(tuple),
    st.one_of(TABLES, st.none()),
)


def _content(file: File) -> bytes:
    rng = np.random.default_rng(file.seed)
    shape = (file.height, file.width)
    rgb = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    kind = file.kind
    if kind.startswith("tiff"):
        return _tiff(kind, rgb, rng)
    if kind in ("cut", "flipped"):
        whole = bytearray(_saved(Image.fromarray(rgb), "PNG"))
        if kind == "cut":
            return bytes(whole[: max(1, len(whole) * 2 // 3)])
        whole[len(whole) // 2] ^= 0x55
        return bytes(whole)
    if kind in ("text", "empty", "numbers"):
        return {"text": b"not a picture\n", "empty": b"", "numbers": zlib.compress(rgb.tobytes())}[kind]
    if kind in ("constant", "black"):
        rgb[:] = 0 if kind == "black" else file.seed
    picture = Image.fromarray(rgb)
    if kind in ("rgba", "clear"):
        picture.putalpha(0 if kind == "clear" else Image.fromarray(rgb[..., 0]))
    elif kind == "grey16":
        picture = Image.fromarray(rng.integers(0, 65536, shape).astype(np.uint16))
    else:
        modes = {"grey": "L", "two-level": "1", "palette": "P", "grey-alpha": "LA", "cmyk": "CMYK", "gif": "P"}
        picture = picture.convert(modes.get(kind, "RGB"))
    return _saved(picture, {"jpeg": "JPEG", "cmyk": "JPEG", "gif": "GIF"}.get(kind, "PNG"))


def _tiff(kind: str, rgb: np.ndarray, rng: np.random.Generator) -> bytes:
    wide = rng.integers(0, 4096 if kind == "tiff12" else 65536, rgb.shape)
    pixels, how = {
        "tiff16": (wide.astype(np.uint16), {"photometric": "rgb"}),
        "tiff12": (wide.astype(np.uint16), {"photometric": "rgb"}),
        "tiff-float": ((rgb / 255).astype(np.float32), {"photometric": "rgb"}),
        "tiff-uint32": (wide.astype(np.uint32), {"photometric": "rgb"}),
        "tiff-five": (np.concatenate([rgb, rgb[..., :2]], axis=2), {"photometric": "minisblack", "planarconfig": "contig"}),
        "tiff-pages": (rgb.transpose(2, 0, 1), {"photometric": "minisblack"}),
        "tiff-planar": (rgb.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}),
        "tiff-zlib": (rgb, {"photometric": "rgb", "compression": "zlib", "predictor": True, "byteorder": ">"}),
        "tiff-bilevel": (rgb[..., 0] > 127, {"photometric": "miniswhite"}),
    }[kind]
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **how)
    return stream.getvalue()


def _saved(picture: Image.Image, form: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format=form)
    return stream.getvalue()
