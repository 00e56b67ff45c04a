"""Files in: every good row arrives, every bad one is named, and the same file again changes nothing."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from features import csv_rows, jsonl_rows
from features.__main__ import app
from features.catalog import Catalog
from features.errors import InvalidInput, NotFound
from features.event_log import SCHEMA, Appended, EventLog
from features.events import InvalidEvent, parse
from features.fields import Time, as_json
from features.importing import Counts, import_events, import_items
from features.layout import Layout
from features.mapping import BUILT_IN, EventMapping, ItemMapping, Mappings
from features.source import open_source

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GOOD = {"event_id": "e1", "event_type": "view", "user_id": "u1", "timestamp": "2026-11-20T10:00:00Z"}


def ignored(share: float) -> None:
    """Show no progress."""


class Shop:
    """A run-time folder, and files to import into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout(folder / "var")

    def file(self, name: str, content: str | bytes | pl.DataFrame) -> Path:
        path = self.folder / name
        if isinstance(content, pl.DataFrame):
            content.write_parquet(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def lines(self, *records: Any, name: str = "events.jsonl") -> Path:
        return self.file(name, "".join(json.dumps(record) + "\n" for record in records))

    def events(self, path: Path, **mapping: Any) -> Counts:
        chosen = EventMapping(**mapping)
        return import_events(
            EventLog(self.layout), open_source(path, chosen.delimiter), chosen, self.layout.rejects, NOW, ignored
        )

    def items(self, path: Path, **mapping: Any) -> Counts:
        source = open_source(path)
        return import_items(Catalog(self.layout), source, ItemMapping(**mapping), self.layout.rejects, ignored)

    def log(self) -> list[dict[str, Any]]:
        """Return all events, in order of time and id."""
        paths = EventLog(self.layout).tables(self.folder)
        frames = [pl.DataFrame(pq.read_table(path, partitioning=None)) for path in paths]
        return pl.concat(frames).sort("timestamp", "event_id").to_dicts() if frames else []

    def catalog(self) -> list[dict[str, Any]]:
        Catalog(self.layout).export(self.folder / "catalog.parquet")
        return pl.read_parquet(self.folder / "catalog.parquet").to_dicts()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def rejects(counts: Counts) -> list[dict[str, Any]]:
    assert counts.rejects is not None
    return [json.loads(line) for line in counts.rejects.read_text().splitlines()]


def why(counts: Counts) -> list[tuple[int, str | None]]:
    return [(reject["row"], reject["field"]) for reject in rejects(counts)]


# One table of rules: a line of a file and a live event are treated alike.

some_text = st.text(max_size=6) | st.sampled_from(
    ["u1", "x" * 128, "x" * 129, "é" * 64, "é" * 65, "\x7f", "\x9f", "a\nb"]
)
times = st.one_of(
    st.sampled_from(
        [
            "2026-11-20T10:00:00Z",
            "2026-11-20t10:00z",
            "2026-11-20 10:00:00.123456789+01:00",
            "2026-11-20T10:00.5Z",
            "2026-02-29T00:00:00Z",
            "2024-02-29T23:59:59.9-23:59",
            "2026-11-21T13:00:00Z",
            "2026-11-21T13:00:00.000001Z",
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00+00:01",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-00:01",
            "2026-11-20T10:00:60Z",
            "2026-11-20T25:00:00Z",
            "2026-11-20T10:00:00Z ",
            "2026-11-20",
            "２026-11-20T10:00:00Z",
        ]
    ),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.text(max_size=5),
)
numbers = st.floats() | st.integers() | st.sampled_from([0, -0.0, 1e12, -1e12, 1e12 + 1, 10**400])
scalars = some_text | numbers | st.booleans() | st.none()
contexts = st.dictionaries(
    st.sampled_from(["a", "b_1", "A", "", "x" * 65]), scalars | st.lists(scalars, max_size=1), max_size=3
)
records = st.fixed_dictionaries(
    {
        "event_id": some_text,
        "event_type": st.sampled_from(["view", "own_type2", "View", "", "view\n", "x" * 65]) | some_text,
        "user_id": some_text,
        "timestamp": times,
    },
    optional={
        "item_id": some_text | st.booleans() | st.none(),
        "quantity": numbers | st.none() | st.booleans(),
        "value": numbers | st.none() | st.lists(numbers, max_size=1),
        "session_id": some_text | st.none(),
        "ranking_id": some_text | st.dictionaries(some_text, some_text, max_size=1),
        "context": contexts | st.none() | st.booleans(),
        "user": st.none() | some_text,
    },
)


class Collected:
    """In place of a log: keeps what an import gives it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def append_tables(self, tables: Iterable[pa.Table]) -> Appended:
        for table in tables:
            self.rows += table.to_pylist()
        return Appended(len(self.rows), 0)


@settings(max_examples=150, deadline=None)
@given(st.lists(records, min_size=1, max_size=8))
def test_a_file_and_a_request_are_judged_alike(some: list[dict[str, Any]]):
    accepted: list[dict[str, Any]] = []
    refused: set[tuple[int, str, str]] = set()
    lines: list[dict[str, Any]] = []
    for record in some:
        try:
            event = parse(record, NOW)
        except InvalidEvent as error:
            if error.reason == Time.NAIVE:
                continue  # good in a file, which has a time zone
            refused.add((len(lines) + 1, error.field, error.reason))
        else:
            fields = {name: getattr(event, name) for name in SCHEMA.names}
            accepted.append(fields | {"row": len(lines) + 1, "context": as_json(event.context)})
        lines.append(record)
    assume(lines)
    with TemporaryDirectory() as folder:
        shop, log = Shop(Path(folder)), Collected()
        source = open_source(shop.lines(*lines))
        counts = import_events(log, source, EventMapping(), shop.layout.rejects, NOW, ignored)  # type: ignore[arg-type]
        assert log.rows == accepted
        found = rejects(counts) if counts.rejects else []
        assert {(reject["row"], reject["field"], reject["reason"]) for reject in found} == refused


MESSY_LINES = [
    GOOD | {"item_id": "007", "context": {"device": "phone", "visits": 3, "new": True}},
    GOOD | {"event_id": "e2", "user_id": 7, "value": 2},
    GOOD | {"event_id": "e3", "item_id": "é\u2028", "value": 2.5, "context": {"device": None}},
    GOOD | {"event_id": "e4", "context": {"Device": "phone"}},
    GOOD | {"event_id": "e5", "context": {"device": {"kind": "phone"}}},
    GOOD | {"event_id": "e6", "value": float("nan")},
    GOOD | {"event_id": "e7", "value": 10**400, "quantity": 10**12},
    GOOD | {"event_id": "e8", "item_id": True},
    GOOD | {"event_id": "e9", "user": "u1"},
    GOOD | {"event_id": "e10", "item_id": 12345678901234567890},
    {"event_type": "view", "user_id": "u1"},
]
MESSY_RECORDS = b"\r\n".join(
    [
        b"\xef\xbb\xbfevent_id,event_type,user_id,timestamp,item_id,value,context",
        b'e1,view,007,2026-11-20T10:00:00Z,"a, ""b""",2,"{""device"": ""phone"", ""visits"": 3}"',
        b",view,1.0,2026-11-20 10:00,true,NaN,",
        b"",
        b'e3,view,u3,2026-11-20,"two',
        b'lines",1e400,{}',
        b"e4,view,u4,2026-11-20,\xc3\xa9,12345678901234567890",
        b"e5,view,u5,2026-11-20,i5,-0.0,[1],more",
        b"e6,view,u\xff,2026-11-20,,,",
        b' e7 ,view,u7,2026-11-20,in"side,5,"{""a"": NaN}"',
        b'"e8",view,"",2026-11-20,i8,,',
        b"e9,view,u9,2026-11-20,i9,9.50,",
    ]
)


def test_a_messy_file_gives_the_same_events_and_rejects_read_together_and_row_by_row(shop: Shop):
    whole = [GOOD | {"event_id": f"w{i}", "context": {"device": "tablet"}, "value": i / 2} for i in range(20)]
    lines = [json.dumps(one).encode() for one in [*whole, *MESSY_LINES, *whole]]
    jsonl = shop.file("messy.jsonl", b"\n".join([*lines, b"", b"{}{}", lines[0][:-1], b'{"a":"\xff"}', *lines[:20]]))
    csv = shop.file("messy.csv", MESSY_RECORDS)

    def found(path: Path) -> tuple[Any, ...]:
        log = Collected()
        counts = import_events(log, open_source(path), EventMapping(), shop.folder, NOW, ignored)  # type: ignore[arg-type]
        return log.rows, sorted(map(json.dumps, rejects(counts))), counts.read, counts.rejected

    for path, module, name in ((jsonl, jsonl_rows, "BATCH_ROWS"), (csv, csv_rows, "BLOCK_BYTES")):
        with patch.object(module, "_together", return_value=None):
            alone = found(path)
        assert found(path) == alone
        for at_once in (4, 10, 100):
            with patch.object(module, name, at_once):
                assert found(path) == alone


def test_counts_add_up_and_good_rows_survive_bad_neighbours(shop: Shop):
    path = shop.file(
        "events.jsonl",
        b"\n".join(
            [
                json.dumps(GOOD).encode(),
                b"{not json",
                b"",
                b'"text"',
                json.dumps(GOOD | {"event_id": "e2", "user": "u1"}).encode(),
                json.dumps(GOOD | {"event_id": "e3", "quantity": "many"}).encode(),
                b'{"event_id": "\xff"}',
                json.dumps(GOOD).encode(),
                json.dumps(GOOD | {"user_id": "u2"}).encode(),
                json.dumps(GOOD | {"event_id": "e4", "user_id": 7}).encode(),
            ]
        ),
    )
    counts = shop.events(path)
    assert (counts.read, counts.new, counts.repeated, counts.rejected) == (9, 2, 1, 6)
    assert sorted(why(counts)) == [(2, None), (4, None), (5, "user"), (6, "quantity"), (7, None), (9, "event_id")]
    assert [(event["event_id"], event["user_id"]) for event in shop.log()] == [("e1", "u1"), ("e4", "7")]
    quantity = next(reject for reject in rejects(counts) if reject["row"] == 6)
    assert quantity["given"]["quantity"] == "many"
    assert quantity["reason"].startswith("must be a number")


def test_importing_the_same_file_again_changes_nothing(shop: Shop):
    line = "u1,i1,2026-11-20T10:00:00Z\n"
    path = shop.file("events.csv", "user_id,item_id,timestamp\n" + line * 3 + line.replace("u1", "u2"))
    first = shop.events(path, constants={"event_type": "view"})
    before = shop.log()
    second = shop.events(path, constants={"event_type": "view"})
    assert (first.new, first.repeated, second.new, second.repeated) == (4, 0, 0, 4)
    assert shop.log() == before


def test_the_same_events_have_the_same_ids_whatever_the_kind_of_file(shop: Shop):
    constants = {"event_type": "purchase"}
    csv = shop.file("a.csv", "user_id,item_id,timestamp,quantity,value\n1,2,2026-11-20 10:00:00,2,1.50\n")
    frame = pl.DataFrame({"user_id": [1], "item_id": [2.0], "timestamp": [datetime(2026, 11, 20, 10)], "quantity": [2]})  # noqa: DTZ001
    parquet = shop.file("a.parquet", frame.with_columns(value=1.5))
    jsonl = shop.lines(
        {"user_id": "1", "item_id": "2", "timestamp": "2026-11-20T11:00+01:00", "quantity": 2.0, "value": 1.5}
    )
    assert [shop.events(path, constants=constants).new for path in (csv, parquet, jsonl)] == [1, 0, 0]


def test_short_long_and_foreign_lines_of_a_csv_file_are_set_aside(shop: Shop):
    path = shop.file(
        "events.csv",
        b"\xef\xbb\xbfuser_id,timestamp,event_type\n"
        b"u1,2026-11-20,view\n"
        b"u2,2026-11-20\n"
        b"u3,2026-11-20,view,extra\n"
        b"u\xff,2026-11-20,view\n"
        b'"u,5",2026-11-20,view\n'
        b",2026-11-20,view\n"
        b"u7,2026-11-20," + b"x" * 140_000 + b"\n"
        b"\n"
        b"u9,2026-11-20,view\n",
    )
    counts = shop.events(path)
    assert (counts.read, counts.new, counts.rejected) == (8, 3, 5)
    assert sorted(why(counts), key=str) == [(2, None), (3, None), (4, None), (6, "user_id"), (7, None)]
    assert {event["user_id"] for event in shop.log()} == {"u1", "u,5", "u9"}


def test_times_without_an_offset_are_in_the_zone_of_the_mapping(shop: Shop):
    path = shop.file(
        "events.csv",
        "user_id,timestamp\nsummer,2026-07-01 12:00\nwinter,2026-01-01 12:00:00\naware,2026-07-01T12:00:00Z\n"
        "skipped,2026-03-29 01:30\nautumn,2026-10-25 01:30\n",
    )
    counts = shop.events(path, constants={"event_type": "view"}, time_zone="Europe/London")
    assert {event["user_id"]: event["timestamp"].strftime("%m-%dT%H:%M") for event in shop.log()} == {
        "summer": "07-01T11:00",
        "winter": "01-01T12:00",
        "aware": "07-01T12:00",
        "autumn": "10-25T00:30",  # the first of the two
    }
    assert why(counts) == [(4, "timestamp")]  # the clocks went from 01:00 to 02:00


@pytest.mark.parametrize(
    ("time_format", "written"),
    [("%d/%m/%Y %H:%M", "20/11/2026 10:00"), ("epoch_s", "1795168800"), ("epoch_ms", "1795168800000")],
)
def test_times_may_be_written_in_another_way(shop: Shop, time_format: str, written: str):
    path = shop.file("events.csv", f"user_id,timestamp\nu1,{written}\nu2,soon\n")
    counts = shop.events(path, constants={"event_type": "view"}, time_format=time_format)
    assert [event["timestamp"] for event in shop.log()] == [datetime(2026, 11, 20, 10, tzinfo=UTC)]
    assert why(counts) == [(2, "timestamp")]


def test_times_since_1970_may_be_whole_or_not_in_one_file(shop: Shop):
    times = [1795168800, 1795168800.5, "soon"]
    counts = shop.events(
        shop.lines(*({"event_type": "view", "user_id": "u1", "timestamp": one} for one in times)), time_format="epoch_s"
    )
    assert [event["timestamp"].microsecond for event in shop.log()] == [0, 500_000]
    assert why(counts) == [(3, "timestamp")]


def test_context_columns_become_json_and_codes_stay_text(shop: Shop):
    path = shop.file(
        "events.parquet",
        pl.DataFrame(
            {
                "user_id": ["a", "b", "c"],
                "timestamp": [NOW - timedelta(days=i) for i in (3, 2, 1)],
                "Store": [330, None, 7],
                "Weight": [1.5, 2.0, float("nan")],
                "Note": ['quo"te\\', None, "x"],
            }
        ),
    )
    counts = shop.events(
        path, constants={"event_type": "view"}, context={"store": "Store", "weight": "Weight", "note": "Note"}
    )
    assert [json.loads(event["context"]) for event in shop.log()] == [
        {"note": 'quo"te\\', "store": "330", "weight": 1.5},
        {"weight": 2.0},
    ]
    assert why(counts) == [(3, "context")]


def test_columns_that_no_mapping_explains_are_an_error_that_names_them(shop: Shop):
    path = shop.file("events.csv", "event_type,user_id,timestamp,colour\nview,u1,2026-11-20,red\n")
    with pytest.raises(InvalidInput, match=r"no fields of an event: colour\. Fields are event_id, "):
        shop.events(path)
    assert shop.events(path, constants={"event_type": "click"}).new == 1


def test_a_missing_column_is_an_error_that_names_those_there_are(shop: Shop):
    path = shop.file("events.csv", "event_type,customer,timestamp\nview,u1,2026-11-20\n")
    with pytest.raises(InvalidInput, match=r"has no column user_id\. It has: event_type, customer, timestamp"):
        shop.events(path, constants={"event_type": "view"})
    with pytest.raises(InvalidInput, match=r"has no column 'Customer'\. It has: event_type, customer"):
        shop.events(path, columns={"user_id": "Customer"})
    assert shop.log() == []


def test_an_import_that_mends_its_rejects_leaves_no_file_of_them(shop: Shop):
    bad = shop.events(shop.lines(GOOD | {"user_id": ""}))
    assert bad.rejects is not None
    assert bad.rejects.exists()
    assert shop.events(shop.lines(GOOD)).rejects is None
    assert list(shop.layout.rejects.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.jsonl", b"\xff\xfe{\x00}\x00", "is UTF-16"),
        ("a.csv", b"user_id,na\xefve\n", "first line"),
        ("a.csv", b"user_id,user_id\n", "several columns of the name 'user_id'"),
        ("a.parquet", b"PAR1 but not really", "not a Parquet file"),
        ("a.xlsx", b"PK", "of no known kind; allowed are files ending in .jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_reason(shop: Shop, name: str, content: bytes, message: str):
    with pytest.raises(InvalidInput, match=message):
        open_source(shop.file(name, content))


def test_a_file_that_does_not_exist_is_said_so(shop: Shop):
    with pytest.raises(NotFound, match=r"There is no file .*a\.csv"):
        open_source(shop.folder / "a.csv")


def test_a_damaged_parquet_file_leaves_the_log_as_it_was(shop: Shop):
    frame = pl.DataFrame({"user_id": [f"user {i}" for i in range(20_000)]})
    path = shop.folder / "a.parquet"
    frame.with_columns(event_type=pl.lit("view"), timestamp=pl.lit(NOW)).write_parquet(path, compression="uncompressed")
    content = bytearray(path.read_bytes())
    content[4:2000] = b"\xff" * 1996
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"is damaged after row 0"):
        shop.events(path)
    assert shop.log() == []


def test_every_other_column_of_an_item_file_is_a_dimension(shop: Shop):
    path = shop.file(
        "items.csv", "item_id,title,price,visible,brand,category\na,Shoe,9.50,true,X,Shoes > Running|Sale\nb,,,,,\n"
    )
    assert shop.items(path).new == 2
    a, b = shop.catalog()
    assert (a["title"], a["price"], a["brand"], a["category"]) == (
        "Shoe",
        9.5,
        ["X"],
        ["Shoes", "Shoes > Running", "Sale"],
    )
    assert (b["title"], b["price"], b["visible"], b["brand"], b["item_type"]) == (None, None, True, [], "product")


def test_items_of_a_jsonl_file_have_dimensions_of_their_own(shop: Shop):
    path = shop.lines(
        {"item_id": "a", "dimensions": {"brand": "X", "size": ["S", "M", "S"]}},
        {"item_id": "b", "dimensions": {"Brand": "X"}},
        {"item_id": "c", "colour": "red", "price": -1},
        {"item_id": "d", "colour": ["red", 5]},
        {"item_id": "e", "colour": [""]},
        name="items.jsonl",
    )
    counts = shop.items(path)
    assert why(counts) == [(2, "Brand"), (3, "price"), (5, "colour")]
    assert [(item["item_id"], item["brand"], item["size"], item["colour"]) for item in shop.catalog()] == [
        ("a", ["X"], ["S", "M"], []),
        ("d", [], [], ["red", "5"]),
    ]
    assert shop.items(path).new == 0


def test_a_column_that_cannot_be_a_dimension_is_an_error(shop: Shop):
    path = shop.file("items.csv", "item_id,Brand Name\na,X\n")
    with pytest.raises(InvalidInput, match="A dimension cannot be called 'Brand Name'"):
        shop.items(path)
    assert shop.items(path, dimensions={"brand": "Brand Name"}).new == 1


RETAIL = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850,United Kingdom
536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850,United Kingdom
C536379,22139,PAPER CRAFT,-2,2010-12-01 09:41:00,0.10,14527,United Kingdom
536414,22139,,56,2010-12-01 11:52:00,0,,United Kingdom
536415,85123A,damaged,1,2010-12-01 11:53:00,2.55,14527,France
"""


def test_online_retail_brings_repeated_lines_and_cancellations_and_leaves_out_who_is_unknown(shop: Shop):
    path = shop.file("online_retail.csv", RETAIL)
    runner = CliRunner()
    for _ in range(2):
        done = runner.invoke(app, ["import", "online-retail", str(path), "--var", str(shop.layout.root)])
        assert done.exit_code == 0, done.output
    events = [
        (event["user_id"], event["item_id"], event["quantity"], event["value"], event["session_id"])
        for event in shop.log()
    ]
    assert events == [
        ("17850", "85123A", 6, 15.3, "536365"),
        ("17850", "85123A", 6, 15.3, "536365"),
        ("14527", "22139", -2, -0.2, "C536379"),
        ("14527", "85123A", 1, 2.55, "536415"),
    ]
    assert [(item["item_id"], item["title"]) for item in shop.catalog()] == [
        ("22139", "Paper Craft"),
        ("85123A", "White Hanging Heart T-Light Holder"),
    ]
    (file,) = shop.layout.rejects.iterdir()
    (line,) = file.read_text().splitlines()
    assert json.loads(line)["field"] == "user_id"


def test_complete_journey_becomes_purchases_and_items(shop: Shop):
    mappings = Mappings.read(BUILT_IN / "complete-journey.toml")
    transactions = pl.DataFrame(
        {
            "household_id": [900, 1228],
            "store_id": [330, 406],
            "basket_id": [31198570044, 31198655051],
            "product_id": [1095275, 1041453],
            "quantity": [1, 0],
            "sales_value": [0.5, 0.0],
            "transaction_timestamp": [datetime(2017, 1, 1, 11, 53, 26), datetime(2017, 1, 2, 12, 26, 30)],  # noqa: DTZ001
        }
    ).with_columns(pl.col("transaction_timestamp").cast(pl.Datetime("ns")))
    products = pl.DataFrame(
        {
            "product_id": [1095275, 26081],
            "manufacturer_id": [2, 69],
            "department": ["GROCERY", "MISCELLANEOUS"],
            "brand": ["National", "Private"],
            "product_category": ["FRZN ICE", None],
            "product_type": ["ICE - CRUSHED/CUBED", None],
            "package_size": ["22 LB", None],
        }
    )
    shop.items(shop.file("products.parquet", products), **mappings.items.model_dump(exclude_unset=True))
    shop.events(shop.file("transactions.parquet", transactions), **mappings.events.model_dump(exclude_unset=True))
    first, second = shop.log()
    assert first | {"event_id": ""} == {
        "event_id": "",
        "event_type": "purchase",
        "user_id": "900",
        "item_id": "1095275",
        "timestamp": datetime(2017, 1, 1, 11, 53, 26, tzinfo=UTC),
        "quantity": 1.0,
        "value": 0.5,
        "session_id": "31198570044",
        "ranking_id": None,
        "decision_id": None,
        "same_as": None,
        "context": '{"store_id":"330"}',
    }
    assert second["quantity"] == 0.0
    ice, unknown = shop.catalog()
    assert (ice["title"], ice["manufacturer"], ice["package_size"]) == ("Ice - Crushed/Cubed, 22 lb", ["2"], ["22 LB"])
    assert (unknown["title"], unknown["product_category"], unknown["brand"]) == (None, [], ["Private"])


def test_a_mapping_is_given_on_the_command_line_or_in_a_file(shop: Shop):
    path = shop.file("sales.csv", "who;what;when;price;n;shop\nu1;i1;20.11.2026;1.5;2;north\n")
    options = ["--map", "user_id=who", "--map", "item_id=what", "--map", "timestamp=when", "--map", "quantity=n"]
    options += ["--map", "unit_price=price", "--map", "context.shop=shop", "--set", "event_type=purchase"]
    toml = shop.file("m.toml", '[events]\ntime_format = "%Y"\ndelimiter = ";"\n')
    command = ["import", "events", str(path), "--mapping", str(toml), "--var", str(shop.layout.root)]
    done = CliRunner().invoke(app, [*command, *options, "--set", "time_format=%d.%m.%Y"])
    assert done.exit_code == 0, done.output
    (event,) = shop.log()
    assert (event["user_id"], event["quantity"], event["value"], event["context"]) == ("u1", 2, 3.0, '{"shop":"north"}')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[events]\ncolour = 1\n", "colour"),
        ("[events.columns]\ncustomer = 'x'\n", "there is no field 'customer'; there are event_id"),
        ("[events]\ntime_zone = 'Mars'\n", "no such time zone"),
        ("[events]\ndelimiter = 'ab'\n", "one character"),
        ("[events]\ntime_format = '%d.%m.%Y %H'\n", "both hour and minute"),
        ("[items.dimensions]\nprice = 'x'\n", "cannot be called 'price'"),
        ("not toml", "not valid TOML"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(shop: Shop, content: str, message: str):
    with pytest.raises(InvalidInput, match=message):
        Mappings.read(shop.file("m.toml", content))
