"""What the service loads: seconds of its start and megabytes of each worker are at stake."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import serving.service
from features.event_log import EventLog
from features.events import Event
from features.layout import Layout
EventLog(Layout(Path(sys.argv[1]))).append([Event("e", "view", "u", datetime(2026, 11, 20, tzinfo=UTC), "i")])
print(*sorted({"pandas", "sklearn", "scipy.stats", "statsmodels", "ibis", "mlflow", "matplotlib"} & sys.modules.keys()))
"""


def test_it_starts_and_takes_in_an_event_without_the_libraries_of_analysis(tmp_path: Path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
