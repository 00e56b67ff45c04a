"""Files of rows: what is read many lines at once is what each line says by itself."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.source import LINES_AT_ONCE, open_source

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
@given(st.lists(lines, min_size=1, max_size=6))
@example([b'{"a":[{}', b"{}]}", b'{},"end of line d8a1f3c2",{}'])
@example([b"{}", b"{}] {"])
def test_lines_read_together_are_what_each_says_by_itself(some: list[bytes]) -> None:
    each = dict(enumerate(map(alone, some), 1))
    records = {number: one for number, one in each.items() if isinstance(one, dict)}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "some.jsonl"
        path.write_bytes(b"\n".join(some) + b"\n")
        (batch,) = open_source(path).batches(["a", "b"], False)
    assert batch.rows.to_list() == list(records)
    assert [reject.row for reject in batch.rejects] == [number for number, one in each.items() if one == "bad"]
    assert str([list(batch.columns[name]) for name in "ab"]) == str(
        [[one.get(name) for one in records.values()] for name in "ab"]
    )


def test_a_bad_line_among_many_keeps_its_number(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    bad = LINES_AT_ONCE + 7
    path.write_text("".join("{\n" if number == bad else f'{{"a":{number}}}\n' for number in range(1, bad + 9)))
    (batch,) = open_source(path).batches(["a"], True)
    assert [reject.row for reject in batch.rejects] == [bad]
    assert batch.rows.to_list() == batch.columns["a"].to_list() == [n for n in range(1, bad + 9) if n != bad]
