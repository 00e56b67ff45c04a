"""From nothing to a running service on real purchases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import Progress

from features.command_line import console
from features.errors import Unavailable
from features.layout import Layout
from serving.servers import require_free, service_command, service_environment, started

if TYPE_CHECKING:
    from training.tracking import Version
    from training.workbench import Workbench

BASELINES: Final = ("popularity", "als", "own-frequency")
MODEL: Final = "blend"
HOLDOUT_DAYS: Final = 28
SEED: Final = 0
CORES: Final = len(os.sched_getaffinity(0))
REQUEST: Final = {"user_id": "1", "n": 10}
START_WITHIN_S: Final = 120


def demo(layout: Layout, port: int, progress: Progress) -> None:
    """Serve The Complete Journey on ``port`` until stopped; make first what is not there yet.

    Raises:
        InvalidInput: ``port`` is no port.
        Unavailable: the port is taken, the data set is not installed, the model did not pass, or the service ended.
    """
    require_free(port)
    begun = monotonic()
    if layout.champion.is_file():
        console.print(f"{layout.root} has a champion already; to begin anew, delete that folder.")
        fitted = None
    else:
        fitted = _fitted(layout, progress)
    # Households are asked for as of the end of their year: seen from today, all they ever bought has faded.
    environment = service_environment(layout, {"ATTUNE_CLOCK": "snapshot"} | os.environ)
    url = f"http://localhost:{port}"
    with started(service_command(port), environment) as server:
        if fitted is not None:
            _promote(*fitted, layout)  # while the service starts
        _wait_until_ready(server, url)
        asked = monotonic()
        answer = _answer(f"{url}/v1/recommend", REQUEST)
        console.print(
            f"Household {REQUEST['user_id']} got {len(answer['items'])} recommendations in "
            f"{1000 * (monotonic() - asked):.0f} ms, {monotonic() - begun:.0f} s after the start.\n"
            f"See for yourself: [bold]{url}[/] (stop with Ctrl+C)"
        )
        status = server.wait()
    if status > 0:
        raise Unavailable(f"The service ended with status {status}; it says why above.")


def _fitted(layout: Layout, progress: Progress) -> tuple[Workbench, Version]:
    """Return the challenger, fitted on the data set and compared with the baselines in a printed table."""
    # MLflow takes seconds to make its database, and models to be compiled; meanwhile the data is read.
    made_ready = threading.Thread(target=_make_ready, args=(layout,), daemon=True)
    made_ready.start()

    if not layout.latest_snapshot.is_file():
        _features("import", "complete-journey", "--var", str(layout.root))
        _features("build", "--var", str(layout.root))
    made_ready.join()

    from features.snapshot import Snapshot
    from training.processes import processes
    from training.report import comparison, figures
    from training.tracking import CHALLENGER
    from training.workbench import Configuration, Workbench

    with processes(CORES) as workers, ThreadPoolExecutor(1) as waiting, progress:
        bench = Workbench.of(layout, Snapshot.latest(layout), HOLDOUT_DAYS, SEED, progress, workers)
        fitting = waiting.submit(bench.fit, Configuration.of(MODEL), datetime.now(UTC))  # first, since it takes longest
        tests = bench.test_all([Configuration.of(name) for name in BASELINES])
        version, tests[MODEL] = fitting.result()
    bench.tracking.name(version, CHALLENGER)
    Console(highlight=False).print(comparison(figures(tests, bench.backtest, SEED)))
    challenger = bench.tracking.named(CHALLENGER)
    assert challenger is not None
    return bench, challenger


def _promote(bench: Workbench, challenger: Version, layout: Layout) -> None:
    from training.promote import promote
    from training.tracking import CHAMPION

    verdict = promote(challenger, bench.tracking.named(CHAMPION), bench, layout, force=False, if_better=False)
    for sentence in verdict.sentences:
        console.print(sentence, soft_wrap=True)
    if not verdict.promote:
        raise Unavailable("There is nothing to serve: the model did not pass. See why above.")


def _features(*arguments: str) -> None:
    """Run a command of ``features`` in a process of its own, so that its memory is free again when it ends."""
    done = subprocess.run([sys.executable, "-m", "features", *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _make_ready(layout: Layout) -> None:
    import training.fit  # noqa: F401 - compiles what it imports
    from training.tracking import Tracking

    Tracking(layout.mlflow)


def _wait_until_ready(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = monotonic() + START_WITHIN_S
    while monotonic() < deadline:
        if server.poll() is not None:
            raise Unavailable(f"The service ended with status {server.returncode}; it says why above.")
        try:
            _answer(f"{url}/readyz")
        except OSError:  # not listening yet, or not ready
            sleep(0.2)
        else:
            return
    raise Unavailable(f"The service was not ready within {START_WITHIN_S} s; it says why above.")


def _answer(url: str, body: Mapping[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        text = response.read()
    return json.loads(text) if body is not None else text
