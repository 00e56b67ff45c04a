from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from evaluation import __main__ as command
from evaluation.ab_test import plots, report
from evaluation.ab_test.analysis import analyse
from evaluation.ab_test.design import Design
from evaluation.ab_test.results import Analysis
from evaluation.ab_test.units import units_of
from features.command_line import run


def table() -> pd.DataFrame:
    customer = np.arange(2_000)
    return pd.DataFrame(
        {
            "customer": customer,
            "arm": np.where(customer < 1_000, "control", "$5 <off>"),
            "bought": ((customer % 10 == 0) | ((customer >= 1_000) & (customer % 10 == 1))).astype(int),
            "spend": np.where(customer % 10 == 0, 10.0 + customer % 7, 0.0),
            "never": np.where(customer == 1_500, 1, 0),
            "age": customer % 50,
            "device": np.where(customer % 2, "phone", "[bold]desk"),
            "at": (pd.Timestamp("2026-01-01") + pd.to_timedelta(customer % 6, unit="D")).strftime("%Y-%m-%d"),
        }
    )


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    design = Design(
        unit="customer",
        variant="arm",
        metrics=("bought", "spend", "never"),
        ratios=("spend/rows",),
        guardrails=("spend:-30%",),
        covariates=("age",),
        segments=("device",),
        time="at",
    )
    return analyse(units_of(table(), design), design)


def test_json_is_strict_and_flat(analysis: Analysis) -> None:
    def refused(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads(report.as_json(analysis), parse_constant=refused)
    lift = content["lifts"][0]
    assert (lift["metric"], lift["variant"], lift["control_value"]) == ("bought", "$5 <off>", 0.1)
    assert lift["difference_always_low"] < lift["difference_low"] < lift["difference"] == pytest.approx(0.1)
    assert lift["verdict"] == "higher"
    rows = [*content["lifts"], *content["looks"], *content["guardrails"], *content["sizes"]]
    assert not any(isinstance(value, dict | list) for row in rows for value in row.values())
    assert content["sample_ratio_mismatch"] is False
    assert content["guardrails"][0]["limit"] == -0.3


def test_a_bound_that_does_not_exist_is_null_in_json(analysis: Analysis) -> None:
    never = next(lift for lift in json.loads(report.as_json(analysis))["lifts"] if lift["metric"] == "never")
    assert never["relative"] is never["relative_low"] is never["relative_always_high"] is None


def test_the_terminal_shows_every_table_and_every_warning(analysis: Analysis) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(report.terminal(analysis))
    text = console.export_text()
    for words in ("Units", "Lift", "Difference", "Guardrails", "Segments", "Size", "$5 <off>", "+100.00%", "10.00%"):
        assert words in text
    assert "device = [bold]desk" in text
    assert all(warning[:40] in text for warning in analysis.warnings)


def test_the_page_stands_alone_and_escapes_what_it_is_given(analysis: Analysis) -> None:
    page = report.html(analysis)
    assert page.count("<svg") == page.count("</svg>") == 6
    assert not re.search(r"<(script|link|img|iframe)|url\(\s*['\"]?http|@import", page)
    assert "<off>" not in page
    assert "&lt;off&gt;" in page


def test_the_same_lifts_give_the_same_picture(analysis: Analysis) -> None:
    assert plots.intervals(analysis.lifts, 0.95) == plots.intervals(analysis.lifts, 0.95)
    assert plots.over_time(analysis.looks[:6], 0.95) == plots.over_time(analysis.looks[:6], 0.95)


def ran(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["evaluation", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        run(command.app, "evaluation")
    return int(ended.value.code or 0)


def test_the_command_writes_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table().to_csv(tmp_path / "t.csv", index=False)
    options = "--unit customer --variant arm --metric bought --ratio spend/rows --covariate age --segment device"
    options += " --guardrail spend:-30% --time at --control control --share control=1 --read-once"
    status = ran(
        monkeypatch,
        *("ab", tmp_path / "t.csv", *options.split(), "--share", "$5 <off>=1"),
        *("--json", tmp_path / "t.json", "--html", tmp_path / "t.html"),
    )
    assert status == 0
    assert "+100.00%" in capsys.readouterr().out
    assert json.loads((tmp_path / "t.json").read_text())["lifts"][0]["difference"] == pytest.approx(0.1, abs=1e-3)
    assert (tmp_path / "t.html").read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.html", "t.json"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--metric clicks", "no column 'clicks'"),
        ("--metric bought --control old", "no variant 'old'"),
        ("--metric bought --share control", "not NAME=SHARE"),
        ("--metric bought --confidence 2", "confidence"),
        ("--metric bought --json gone/out.json", "cannot be written"),
        ("", "no metric is given"),
        ("--metric bought --since 2026-01-01", "--since: that is said of Attune's own log"),
        ("--metric bought --window-days 2 --until 2026-01-01", "--window-days, --until: that is said of"),
    ],
)
def test_a_mistake_ends_in_a_message_and_status_2(
    options: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table().to_csv(tmp_path / "t.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert ran(monkeypatch, "ab", "t.csv", "--unit", "customer", "--variant", "arm", *options.split()) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
