"""The service as an operator starts it: BentoML, in processes of its own."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks import swap
from features.layout import Layout, point


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return Layout(tmp_path_factory.mktemp("var"))


@pytest.fixture(scope="module")
def ids(layout: Layout) -> list[str]:
    return swap.make_bundles(layout)


@pytest.fixture(scope="module")
def url(layout: Layout, ids: list[str]) -> Iterator[str]:
    point(layout.champion, ids[0])
    with swap.service(layout.root) as url:
        yield url


def test_bentoml_s_pages_and_ours_live_side_by_side(url: str) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/", "/docs", "/openapi.json", "/static_content/swagger-ui.css"):
        assert httpx.get(url + path).status_code == 200, path
    assert "bentoml_service_request_total" in httpx.get(f"{url}/metrics").text


def test_an_answer_names_the_promoted_bundle(url: str, layout: Layout) -> None:
    answer = httpx.post(f"{url}/v1/recommend", json={"user_id": "user-001", "n": 10}).json()
    assert answer["model_version"] == layout.champion.read_text().strip()
    assert len(answer["items"]) == 10


def test_no_answer_fails_or_is_mixed_while_bundles_are_promoted(url: str, layout: Layout, ids: list[str]) -> None:
    answers = swap.expected(layout, ids)
    assert all(answers[ids[0], user_id] != answers[ids[1], user_id] for _, user_id in answers)
    figures = asyncio.run(swap.load(url, layout, ids, answers, seconds=4, pause_s=0.25))
    assert figures.answers.keys() == set(ids)
    assert figures.failed == figures.mixed == 0
    wrong = {(ids[0], user_id): answers[ids[1], user_id] for _, user_id in answers}
    point(layout.champion, ids[0])
    figures = asyncio.run(swap.load(url, layout, ids[:1], wrong, seconds=1, pause_s=0.5))
    assert figures.mixed > 0, "the comparison would not notice"


def test_a_bento_starts_without_the_repository(
    layout: Layout, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Path(__file__).parents[2]
    source = tmp_path / "source"
    for name in ("features", "models", "evaluation", "serving"):
        shutil.copytree(repository / name, source / name)
    shutil.copy(repository / "pyproject.toml", source / "pyproject.toml")
    shutil.copytree(layout.bundles, source / "var" / "bundles")
    point(Layout(source / "var").champion, ids[0])
    (source / "serving" / "web" / "mark.txt").write_text("This is the copy.")

    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")
    build = [sys.executable, "-m", "bentoml", "build", str(source), "--output", "tag"]
    built = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    shutil.rmtree(source)

    (bento,) = (tmp_path / "home" / "bentos" / "attune").glob("*/src")
    installs = (bento.parent / "env" / "python" / "requirements.txt").read_text()
    assert "polars==" in installs
    assert "pytest" not in installs
    monkeypatch.chdir(tmp_path)
    with swap.service(bento / "var", "attune:latest") as url:
        assert httpx.get(f"{url}/mark.txt").text == "This is the copy."
        answer = httpx.post(f"{url}/v1/recommend", json={"user_id": "user-001"}).json()
        assert answer["model_version"] == ids[0]
