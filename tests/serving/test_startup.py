"""What the service loads, and how it answers then: seconds of its start and megabytes of workers are at stake."""

import subprocess
import sys
from pathlib import Path

import httpx

from benchmarks.live_service import running

SCRIPT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import serving.application
from features.event_log import EventLog
from features.events import Event
from features.layout import Layout
EventLog(Layout(Path(sys.argv[1]))).append([Event("e", "view", "u", datetime(2026, 11, 20, tzinfo=UTC), "i")])
print(*sys.modules)
"""
NEEDLESS = {"bentoml", "duckdb", "ibis", "matplotlib", "mlflow", "pandas", "scipy.stats", "sklearn", "statsmodels"}


def test_it_starts_and_takes_in_an_event_without_what_only_others_need(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert NEEDLESS & set(done.stdout.split()) == set()


def test_two_workers_say_that_they_are_not_ready_and_count_together(tmp_path: Path) -> None:
    with running(tmp_path, 2, "/livez") as service, httpx.Client(base_url=service.url) as client:
        assert [client.get(path).status_code for path in ("/docs", "/static_content/swagger-ui.css")] == [200, 200]
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["error"]["message"].startswith("No bundle has been promoted")
        for _ in range(20):
            with httpx.Client(base_url=service.url) as another:  # of either worker
                assert another.get("/v1/items/lamp").status_code == 404
        counted = 'attune_request_seconds_count{route="/v1/items/{item_id:path}",status="404"} 20.0'
        assert counted in client.get("/metrics").text
        assert client.get("/nothing").json()["error"]["code"] == "http_404"
