"""Writing files so that nothing is lost: a file is either whole or not there."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success flush it to disk and rename it over `path`.

    When the body fails, the temporary file is removed and `path` keeps what it held. A full disk or a folder
    without write permission becomes an OSError whose message says what to do.
    """
    path = Path(path)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name[-32:]}")  # never longer than a long name was
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        mode = partial.stat().st_mode  # what the user's umask gives; some writers make files private
        yield partial
        partial.chmod(mode)
        with partial.open("rb+") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        partial.unlink(missing_ok=True)
    _flush_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, whole or not at all. What is no Unicode in a file's name becomes JSON's escape of it."""
    with written_whole(path) as partial:
        partial.write_bytes((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def _explained(error: OSError, path: Path) -> OSError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        why = "the disk is full; free some space or choose another folder, then run the same command again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        why = "writing is not permitted there; choose another folder with --out or -o"
    else:
        return error
    return type(error)(error.errno, f"could not write {path}: {why}")


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system lets a folder be flushed."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
