import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.tables import decimal, read_table

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-32")
CELLS = st.text(st.sampled_from('aZ09 äß€,;.-_"+/'), max_size=6).map(str.strip)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=4),
    separator=st.sampled_from(",;\t"),
    encoding=st.sampled_from(ENCODINGS),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_spreadsheets_write_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], separator: str, encoding: str, end: str
) -> None:
    """Written by the csv module in every encoding, separator and line end."""
    held = io.StringIO()
    csv.writer(held, delimiter=separator, lineterminator=end).writerows([["name", "größe", "slide"], *rows])
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    path.write_bytes(held.getvalue().encode(encoding))
    table = read_table(path)
    assert table.headings == ("name", "größe", "slide") and table.separator == separator
    assert table.rows == tuple(tuple(row) for row in rows if any(row))


def test_a_first_line_may_name_the_separator(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\na;b\n1,5;2\n")
    table = read_table(tmp_path / "t.csv")
    assert table.records() == [{"a": "1,5", "b": "2"}] and table.numbers == (3,) and table.comma


@pytest.mark.parametrize(
    "raw, sentence",
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not a text file in UTF-8, UTF-16 or Windows-1252"),
        (b"a,b\n\x81\n", "is not a text file"),
        (b"\xff\xfea", "is not a text file"),
        (b"a,b\n1,0,5\n", "row 2: 3 cells under 2 headings; put a cell with a comma in it"),
        (b"a;b\n1\n", "row 2: 1 cells under 2 headings; every row has"),
        (b'a,b\n"1,2\n', "look for a quotation mark"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, raw: bytes, sentence: str) -> None:
    (tmp_path / "t.csv").write_bytes(raw)
    with pytest.raises(ValueError, match=r"t\.csv") as caught:
        read_table(tmp_path / "t.csv")
    assert sentence in str(caught.value)


def test_blank_cells_at_the_end_and_blank_rows_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,,\n1,2,,\n,,,\n3,,,\n")
    table = read_table(tmp_path / "t.csv")
    assert (table.headings, table.rows, table.numbers) == (("a", "b"), (("1", "2"), ("3", "")), (2, 4))


@pytest.mark.parametrize(
    "text, comma, number",
    [("0.5", False, 0.5), (" 0,5 ", False, 0.5), ("20,123", True, 20.123), ("-1e-3", False, -1e-3), ("0,499", False, 0.499)],
)
def test_decimal_commas(text: str, comma: bool, number: float) -> None:
    assert decimal(text, comma) == number


@pytest.mark.parametrize("text", ["1,234", "1.234,5", "1,234,567", "half", "", "1_000", "0x1", "٣"])
def test_numbers_that_may_mean_two_things_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number|may be thousands"):
        decimal(text)
