"""Files of rows: what is read many lines at once is what each line says by itself."""

from __future__ import annotations

import codecs
import csv
import json
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features import csv_rows, jsonl_rows
from features.jsonl_rows import LINES_AT_ONCE
from features.rejects import NOT_UTF8
from features.source import open_source

lines = st.sampled_from(
    [
        b'{"a":1}',
        b'{"a":"x","b":null}',
        b'{"a":"\xc3\xa9"}\r',
        b'{"a":"\xff"}',
        b'{"a":[{}',
        b"{}]}",
        b'{"a":{}',
        b"{}}",
        b"{},{}",
        b"{}{}",
        b"{}] {",
        b'{},"end of line d8a1f3c2",{}',
        b'"end of line d8a1f3c2"',
        b'{"a":"end of line d8a1f3c2"}',
        b"[]",
        b"",
        b"  ",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b"]",
        b'{"a":Inf}',
        b'{"a":2.5}',
        b'{"a":12345678901234567890}',
        b'{"a":true}',
        b'{"a":"2026-01-01"}',
        b'{"a":{"x":1,"y":"z"},"b":{}}',
        b'{"a":{"x":2.5},"b":{"q":[1]}}',
        b'{"\\u0061":"x","c":1}',
        b'\xef\xbb\xbf{"a":1}',
    ]
)


def alone(line: bytes) -> Any:
    """Return the object on ``line``, None for a blank line, "bad" where there is something else."""
    try:
        text = line.decode()
        record = json.loads(text) if text.strip() else None
    except ValueError:
        return "bad"
    return record if record is None or isinstance(record, dict) else "bad"


@settings(max_examples=300, deadline=None)
@given(st.lists(lines, min_size=1, max_size=6), st.sampled_from([b"\n", b"\r\n"]), st.sampled_from([2, 100_000]))
@example([b'{"a":[{}', b"{}]}", b'{},"end of line d8a1f3c2",{}'], b"\n", 6)
@example([b"{}", b"{}] {"], b"\n", 2)
@example([b'{"a":{"x":1,"y":"z"}}', b'{"a":{"y":"z"}}', b'{"a":{"x":2.5},"b":null}', b"{}"], b"\n", 2)
def test_lines_read_together_are_what_each_says_by_itself(some: list[bytes], end: bytes, batch_rows: int) -> None:
    first, *others = some
    each = dict(enumerate(map(alone, [first.removeprefix(codecs.BOM_UTF8), *others]), 1))
    records = {number: one for number, one in each.items() if isinstance(one, dict)}
    with TemporaryDirectory() as folder, patch.object(jsonl_rows, "BATCH_ROWS", batch_rows):
        path = Path(folder) / "some.jsonl"
        path.write_bytes(end.join(some) + end)
        batches = list(open_source(path).batches(["a", "b"], False))
    assert [row for batch in batches for row in batch.rows] == list(records)
    assert [reject.row for batch in batches for reject in batch.rejects] == [
        n for n, one in each.items() if one == "bad"
    ]
    for name in "ab":
        values = [_in_a_column(one) for batch in batches for one in batch.columns[name]]
        assert str(values) == str([_in_a_column(one.get(name)) for one in records.values()])
    given = [one for batch in batches for one in batch.given(list(range(len(batch.rows))))]
    assert str(given) == str(
        [{name: one[name] for name in "ab" if one.get(name) is not None} for one in records.values()]
    )


def _in_a_column(value: Any) -> Any:
    """Return ``value`` as a column of such objects has it: all names in each, and their numbers floats."""
    if not isinstance(value, dict):
        return value
    numbers = {name: float(one) if type(one) is int else one for name, one in value.items()}
    return {name: one for name, one in numbers.items() if one is not None}


def test_a_bad_line_among_many_keeps_its_number(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    bad = LINES_AT_ONCE + 7
    path.write_text("".join("{\n" if number == bad else f'{{"a":{number}}}\n' for number in range(1, bad + 9)))
    (batch,) = open_source(path).batches(["a"], True)
    assert [reject.row for reject in batch.rejects] == [bad]
    assert batch.rows.to_list() == batch.columns["a"].to_list() == [n for n in range(1, bad + 9) if n != bad]


nasty = [
    "a",
    "007",
    "",
    '"x,y"',
    '"two\nlines"',
    '"two\r\nlines"',
    '""',
    '"say ""hi"""',
    'in"side',
    '"after"wards',
    '"',
]
cells = st.sampled_from([*nasty, "\ufeff", "\x00", "é", "\u2028", " ", "NaN", "\udcff", "x" * 40])
records = st.lists(cells, min_size=3, max_size=3) | st.lists(cells, max_size=4)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(records, max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([",", "\t", "é"]),
    st.sampled_from([30, 100, 1 << 20]),
    st.booleans(),
)
@example([["a", "b", '"x'], ["y", "c", "d"]], "\n", ",", 1 << 20, True)
@example([["a", "b", "c"], ["\ufeff", "b", "c"], ["a", "b", "c"]], "\n", ",", 8, True)
@example([["", "", ""], [], ["a", "b", "c"]], "\n", ",", 1 << 20, True)
def test_records_read_together_are_what_each_is_by_itself(
    some: list[list[str]], end: str, delimiter: str, block_bytes: int, ends: bool
) -> None:
    text = end.join(delimiter.join(cells) for cells in [["a", "b", "c"], *some]) + end * ends
    each = dict(enumerate(list(csv.reader(StringIO(text, newline=""), delimiter=delimiter))[1:], 1))
    good = {number: one for number, one in each.items() if len(one) == 3 and "\udcff" not in "".join(one)}
    with TemporaryDirectory() as folder, patch.object(csv_rows, "BLOCK_BYTES", block_bytes):
        path = Path(folder) / "some.csv"
        path.write_bytes(text.encode(errors="surrogateescape"))
        batches = list(open_source(path, delimiter).batches(None, False))
    assert [row for batch in batches for row in batch.rows] == list(good)
    assert [row for batch in batches for row in zip(*batch.columns.values(), strict=True)] == [
        tuple(cell or None for cell in one) for one in good.values()
    ]
    rejects = [(reject.row, reject.reason) for batch in batches for reject in batch.rejects]
    assert rejects == [
        (number, NOT_UTF8 if len(one) == 3 else f"has {len(one)} cells, not 3")
        for number, one in each.items()
        if one and number not in good
    ]


def test_records_and_lines_that_are_as_they_should_be_are_read_together(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("a,b,c\n" + '007,"x, ""y""\nz",\n' * 1_000)
    (tmp_path / "some.jsonl").write_text('{"a":"007","b":2,"c":{"x":1}}\n{"a":null,"b":2.5,"c":{"y":"é"}}\n' * 1_000)
    alone = AssertionError("read one by one")
    with patch.object(csv_rows, "_problem", side_effect=alone), patch.object(csv_rows, "BLOCK_BYTES", 5_000):
        batches = list(open_source(tmp_path / "some.csv").batches(None, False))
        assert sum(len(batch.rows) for batch in batches) == 1_000
    with patch.object(jsonl_rows, "BATCH_ROWS", 1_500):
        first, second = open_source(tmp_path / "some.jsonl").batches(["a", "b", "c"], True)
    assert isinstance(first.columns["c"], pl.Series)
    assert isinstance(second.columns["b"], pl.Series)
    assert (second.rows[0], len(first.rows), len(second.rows)) == (1_501, 1_500, 500)
