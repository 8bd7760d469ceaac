"""Opening what a stranger handed in: a folder, or a zip archive unpacked with care.

An archive is judged from its directory before one byte is written: where its entries want to go, what they are, how large
they say they are. While unpacking, the bytes are counted again. Nothing inside an archive is opened as an archive.
"""

import io
import re
import shutil
import stat
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from chromogen.data.images import SUFFIXES, is_clutter

KEPT_SUFFIXES = (*SUFFIXES, ".mha", ".json")
COPY_BYTES = 2**20
_DRIVE = re.compile(r"^[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, LookupError)


@dataclass(frozen=True)
class Limits:
    """What an archive may ask for. The ratio is of unpacked to packed bytes and holds for files above `ratio_from_bytes`:
    a blank picture packs a thousandfold, and small ones are bounded by their number and their sum."""

    entries: int = 20_000
    file_bytes: int = 2**30
    total_bytes: int = 4 * 2**30
    ratio: int = 200
    ratio_from_bytes: int = 8 * 2**20


LIMITS = Limits()


@dataclass(frozen=True)
class _Entry:
    """One file of the archive that will be unpacked, and where below the folder."""

    info: zipfile.ZipInfo
    path: PurePosixPath


@contextmanager
def opened(path: Path | str, limits: Limits = LIMITS, on_ignored: Callable[[str], None] | None = None) -> Iterator[Path]:
    """Give the folder a submission is in: a folder as it is, or a zip archive unpacked into a private temporary folder.

    Images, .mha and .json files are unpacked; what operating systems add (hidden files, __MACOSX) is left out silently, and
    every other name is told to `on_ignored`. Where all lies in one folder inside the archive, that folder is given. Names
    without the UTF-8 flag are read as UTF-8 if they can be, else as GB 18030; all are brought to Unicode form NFC.
    The temporary folder is gone afterwards. ValueError: neither folder nor zip, damaged, no image inside, or an archive that
    reaches outside its folder, holds links, is encrypted, is too large or repeats a name; the sentence says which entry.
    """
    path = Path(path)
    if path.is_dir():
        yield path
        return
    with path.open("rb") as handle:
        start = handle.read(4)
    if start not in (b"PK\x03\x04", b"PK\x05\x06"):
        raise ValueError(f"{path.name} is neither a folder nor a zip archive; hand in a folder or a .zip of images")
    with tempfile.TemporaryDirectory(prefix="submission-") as scratch:
        folder = Path(scratch)
        with _damage_explained(path.name), _BoundedReads(path, limits) as raw, zipfile.ZipFile(raw) as archive:
            entries, ignored = _checked(archive.infolist(), path.name, limits)
            _check_room(entries, folder)
            for entry in entries:
                _unpack(archive, entry, folder, path.name)
        for name in ignored if on_ignored else ():
            on_ignored(name)  # type: ignore[misc]
        yield stepped_into(folder)


def stepped_into(folder: Path) -> Path:
    """`folder`, or the folder inside it when that is all it holds, and so on inwards."""
    while True:
        inside = [path for path in folder.iterdir() if not is_clutter(path)]
        if len(inside) != 1 or inside[0].is_symlink() or not inside[0].is_dir():
            return folder
        folder = inside[0]


class _BoundedReads(io.FileIO):
    """A file that refuses one huge read: `zipfile` reads an archive's directory in one, as large as the archive says."""

    def __init__(self, path: Path, limits: Limits) -> None:
        super().__init__(path, "rb")
        self._most = max(limits.entries * 512, 2 * COPY_BYTES)
        self._limits = limits

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._most:
            raise ValueError(
                f"{Path(str(self.name)).name} lists more than {self._limits.entries} files; hand in the images of the test set"
            )
        return super().read(size) or b""


@contextmanager
def _damage_explained(archive: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise ValueError(f"{archive} is damaged or not a proper zip archive ({error}); make it again") from error


def _checked(infos: list[zipfile.ZipInfo], archive: str, limits: Limits) -> tuple[list[_Entry], list[str]]:
    """The entries to unpack and the names of those ignored; ValueError for an archive that is not to be trusted."""
    if len(infos) > limits.entries:
        raise ValueError(
            f"{archive} holds {len(infos)} entries, more than {limits.entries}; hand in the images of the test set"
        )
    kept: list[_Entry] = []
    ignored: list[str] = []
    for info in infos:
        name = _name(info)
        path = _inside(name, archive)
        _check_kind(info, name, archive)
        if name.endswith("/") or any(is_clutter(Path(part)) for part in path.parts):
            continue
        if path.suffix.lower() not in KEPT_SUFFIXES:
            ignored.append(name)
            continue
        _check_size(info, name, archive, limits)
        kept.append(_Entry(info, path))
    total = sum(entry.info.file_size for entry in kept)
    if total > limits.total_bytes:
        raise ValueError(f"{archive} unpacks to {total} bytes, more than {limits.total_bytes}; hand in fewer or smaller images")
    _check_names(kept, archive)
    if not any(entry.path.suffix.lower() != ".json" for entry in kept):
        raise ValueError(f"{archive} holds no image; put PNG or TIFF files inside ({', '.join(SUFFIXES)}, .mha)")
    return kept, ignored


def _name(info: zipfile.ZipInfo) -> str:
    """The entry's name as its author saw it. Without the UTF-8 flag `zipfile` has read the bytes as code page 437."""
    name = info.orig_filename
    if not info.flag_bits & 0x800:
        raw = name.encode("cp437")
        for encoding in ("utf-8", "gb18030", "cp437"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return unicodedata.normalize("NFC", name).replace("\\", "/")


def _inside(name: str, archive: str) -> PurePosixPath:
    """The path of an entry below the folder; ValueError when it would lead anywhere else."""
    where = f"{archive} has the entry {name!r}"
    if _CONTROL.search(name):
        raise ValueError(f"{where}, whose name holds a control character; rename the file")
    if name.startswith("/") or _DRIVE.match(name):
        raise ValueError(f"{where}, an absolute path; make the archive from inside the folder of images")
    parts = PurePosixPath(name).parts
    if ".." in parts:
        raise ValueError(f"{where}, which leads out of the folder; make the archive from inside the folder of images")
    if not parts or len(name.encode()) > 1000 or max(len(part.encode()) for part in parts) > 255:
        raise ValueError(f"{archive} has an entry whose name is empty or too long ({name[:40]!r}...); rename the file")
    return PurePosixPath(*parts)


def _check_kind(info: zipfile.ZipInfo, name: str, archive: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise ValueError(f"{archive} has the entry {name!r}, a symbolic link; put the file itself into the archive")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ValueError(f"{archive} has the entry {name!r}, which is neither a file nor a folder; leave it out")
    if info.flag_bits & 0x41:
        raise ValueError(f"{archive} has the entry {name!r}, which is encrypted; make the archive without a password")


def _check_size(info: zipfile.ZipInfo, name: str, archive: str, limits: Limits) -> None:
    where = f"{archive} has the entry {name!r}"
    if info.compress_type not in _METHODS:
        raise ValueError(f"{where}, packed by method {info.compress_type}; use plain zip (stored or deflate)")
    if info.file_size > limits.file_bytes:
        raise ValueError(f"{where} of {info.file_size} bytes, more than {limits.file_bytes}; hand in smaller images")
    if info.file_size > limits.ratio_from_bytes and info.file_size > limits.ratio * info.compress_size:
        raise ValueError(
            f"{where}, which unpacks to more than {limits.ratio} times its size: a decompression bomb, or a blank picture; "
            "save it as PNG"
        )


def _check_names(entries: list[_Entry], archive: str) -> None:
    """No two files of one name, whatever the case, and no file where another needs a folder."""
    seen: dict[str, PurePosixPath] = {}
    for entry in entries:
        other = seen.setdefault(str(entry.path).casefold(), entry.path)
        if other is not entry.path:
            raise ValueError(f"{archive} holds {str(other)!r} and {str(entry.path)!r}, one name twice; keep one of them")
    for entry in entries:
        for folder in list(entry.path.parents)[:-1]:
            if str(folder).casefold() in seen:
                raise ValueError(f"{archive} holds {str(folder)!r} as a file and as a folder; keep one of them")


def _check_room(entries: list[_Entry], folder: Path) -> None:
    needed, free = sum(entry.info.file_size for entry in entries), shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{needed} bytes are needed in {folder.parent} to unpack, and {free} are free; set TMPDIR to a larger disk"
        )


def _unpack(archive: zipfile.ZipFile, entry: _Entry, folder: Path, name: str) -> None:
    """Write one entry, counting: what comes out may not be more than the directory said."""
    target = folder.joinpath(*entry.path.parts)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    left = entry.info.file_size
    with archive.open(entry.info) as packed, target.open("xb") as out:
        while piece := packed.read(min(COPY_BYTES, left + 1)):
            left -= len(piece)
            if left < 0:
                raise ValueError(f"{name} has the entry {str(entry.path)!r}, larger than it says; make the archive again")
            out.write(piece)
    if left:
        raise ValueError(f"{name} has the entry {str(entry.path)!r}, cut short; make the archive again")
