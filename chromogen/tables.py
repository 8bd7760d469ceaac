"""The one door for CSV files: any encoding and separator that spreadsheets write, read right or refused with a sentence."""

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

SEPARATORS = ",;\t"
_MOST_BYTES = 2**28
_MARKS = {  # the longer first: UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_DECIMAL = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)", re.IGNORECASE | re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([,.])\d{3}(\1\d{3})*")


@dataclass(frozen=True)
class Table:
    """A CSV file: its headings and its rows as they are written, blanks around cells removed, empty rows left out.

    `numbers` are the lines of the file on which the rows end. A row has one cell a heading.
    """

    path: Path
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]
    separator: str

    @property
    def comma(self) -> bool:
        """Whether a comma in a number can only be a decimal one."""
        return self.separator != ","

    def records(self, casefold: bool = False) -> list[dict[str, str]]:
        """Each row by heading, in small letters with `casefold`. Of a heading that occurs twice, the last counts."""
        names = [heading.casefold() if casefold else heading for heading in self.headings]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def read_table(path: Path) -> Table:
    """Read a CSV file whose first line are the headings.

    UTF-8 (with or without a mark), UTF-16 and UTF-32 with a mark and UTF-16 without, else Windows-1252; separated by commas,
    semicolons or tabs, whichever the first line has most of outside quotation marks; a first line `sep=;` decides. Raises
    ValueError for what is no text, for a row that has fewer cells than headings or more (blank ones at its end do not count),
    and for a quotation mark that is not closed; OSError when the file cannot be opened.
    """
    path = Path(path)
    text = _text(path)
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r"sep=([,;\t])\s*", first, re.IGNORECASE)
    separator = told[1] if told else _separator(first)
    lines = _lines(path, rest if told else text, separator, skipped=1 if told else 0)
    if not lines:
        raise ValueError(f"{path} is empty; its first line names the columns")
    headings = tuple(_without_blank_end(lines[0][1]))
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    for number, cells in lines[1:]:
        kept = cells[: len(headings)] if not any(cells[len(headings) :]) else cells
        if len(kept) != len(headings):
            raise ValueError(f"{path}, row {number}: {len(cells)} cells under {len(headings)} headings; {_cure(separator)}")
        rows.append(tuple(kept))
        numbers.append(number)
    return Table(path, headings, tuple(rows), tuple(numbers), separator)


def decimal(text: str, comma: bool = False) -> float:
    """A number as people write it in a table: 0.5, 1e-3, or with a decimal comma 0,5.

    `comma`: the cells are separated by something else (`Table.comma`), so that a comma is a decimal one. Raises ValueError for
    anything else, and where a comma may part thousands (1,234 without `comma`, and 1.234,5).
    """
    return float(pointed(text, comma))


def pointed(text: str, comma: bool = False) -> str:
    """`text`, a number, with a decimal point; ValueError as `decimal` says."""
    plain = text.strip()
    if "," in plain:
        if plain.count(",") > 1 or "." in plain or (_THOUSANDS.fullmatch(plain) and not comma):
            raise ValueError(f"{text!r} may be thousands or a fraction; write it with a decimal point and nothing else")
        plain = plain.replace(",", ".")
    if not _DECIMAL.fullmatch(plain):
        raise ValueError(f"{text!r} is not a number")
    return plain


def _text(path: Path) -> str:
    with path.open("rb") as handle:
        raw = handle.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise ValueError(f"{path} has more than {_MOST_BYTES} bytes; a table of images is far smaller")
    encodings = [next((name for mark, name in _MARKS.items() if raw.startswith(mark)), "")]
    if not encodings[0]:
        encodings = [_wide(raw)] if b"\0" in raw[:4096] else ["utf-8", "cp1252"]
    for encoding in encodings:
        try:
            text = raw.decode(encoding) if encoding else "\0"
        except (UnicodeDecodeError, UnicodeError):
            continue
        if "\0" not in text:
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise ValueError(f"{path} is not a text file in UTF-8, UTF-16 or Windows-1252; save the table as CSV in UTF-8")


def _wide(raw: bytes) -> str:
    """UTF-16 without a mark: of Latin text every other byte is nought. "" where it is not that."""
    odd, even = raw[1:4096:2].count(0), raw[0:4096:2].count(0)
    half = min(len(raw), 4096) // 2
    return "utf-16-le" if odd > 0.8 * half and not even else "utf-16-be" if even > 0.8 * half and not odd else ""


def _separator(line: str) -> str:
    bare = re.sub(r'"[^"]*"', "", line)
    return max(SEPARATORS, key=bare.count)


def _lines(path: Path, text: str, separator: str, skipped: int) -> list[tuple[int, list[str]]]:
    """The lines that are not blank, each with its number in the file and its cells."""
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    found = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                found.append((reader.line_num + skipped, stripped))
    except csv.Error as error:
        number = reader.line_num + skipped
        raise ValueError(f"{path}, line {number}: {error}; look for a quotation mark that is not closed") from error
    return found


def _without_blank_end(cells: list[str]) -> list[str]:
    last = max((place for place, cell in enumerate(cells) if cell), default=-1)
    return cells[: last + 1]


def _cure(separator: str) -> str:
    if separator == ",":
        return "put a cell with a comma in it, such as 0,5, between quotation marks, or separate the cells by semicolons"
    return "every row has one cell a heading"
