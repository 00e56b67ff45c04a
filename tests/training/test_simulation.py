"""Simulated shoppers: in the log, and in a file."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from evaluation.exposures import exposures, subject_of
from features.events import parse
from features.layout import Layout
from tests.training.conftest import Command
from training.simulation import BANNER, BUTTON, CLICK_RATE, CLICK_RATE_TO_TASTE, Shoppers, lived

UNTIL = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_log_holds_what_the_shoppers_were_shown_and_did(tmp_path: Path) -> None:
    layout, rng = Layout(tmp_path), np.random.default_rng(0)
    shoppers = Shoppers.of(150, rng)
    total = asyncio.run(lived(layout, shoppers, 4, UNTIL, rng))
    assert total > 1_000
    button = exposures(layout, subject_of(layout, "campaign", BUTTON), UNTIL + timedelta(days=2))
    assert set(button.frame["variant"]) == {"red", "blue"}
    assert not button.frame.groupby("user_id")["variant"].nunique().gt(1).any()
    shown = exposures(layout, subject_of(layout, "campaign", BANNER), UNTIL + timedelta(days=2)).frame
    likes = shown.filter(like="context.likes").idxmax(axis=1).str.extract("'(.*)'")[0]
    own = shown["reward"][likes == shown["experience"]].mean()
    other = shown["reward"][likes != shown["experience"]].mean()
    assert own == pytest.approx(CLICK_RATE_TO_TASTE, abs=0.09)
    assert other == pytest.approx(CLICK_RATE, abs=0.06)
    late = shown[shown["exposed_at"] > UNTIL - timedelta(days=1)]
    assert (late["propensity"].mean()) > 0.4, "the policy has learned"


def test_the_command_writes_events_that_the_log_takes(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    done = command("simulate", "--shoppers", 20, "--days", 2, "--out", out)
    assert done.status == 0, done.text
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert len({record["event_id"] for record in records}) == len(records) > 20
    for record in records:
        parse(record, datetime.now(UTC))
    assert command("simulate", "--out", tmp_path / "no" / "folder.jsonl").status == 2
    assert command("simulate", "--out", out, "--url", "http://localhost:1").status == 2
    for url in ("http://localhost:1", "no address"):
        assert "Is the service running there?" in command("simulate", "--url", url).text
