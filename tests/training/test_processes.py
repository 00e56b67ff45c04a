import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import pytest

from training.processes import processes, watched_memory

WAITING = """
import os, time
from training.processes import processes

if __name__ == "__main__":
    with processes(2) as pool:
        print(*{pool.submit(os.getpid).result() for _ in range(4)}, flush=True)
        pool.submit(time.sleep, 60).result()
"""


def alive(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_one_process_is_a_thread_of_this_one_and_more_are_others() -> None:
    def of(pool: Executor) -> int:
        return pool.submit(os.getpid).result()

    with processes(1) as one, processes(2) as two:
        assert of(one) == os.getpid() != of(two)


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "waiting.py"
    script.write_text(WAITING, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(Path.cwd())}
    ) as parent:
        assert parent.stdout is not None
        others = [int(one) for one in parent.stdout.readline().split()]
        assert others
        assert all(map(alive, others))

        parent.send_signal(signal.SIGKILL)

    late = time.monotonic() + 10
    while any(map(alive, others)):
        if time.monotonic() > late:
            pytest.fail("They still run ten seconds later.")
        time.sleep(0.05)


def test_what_was_not_begun_when_an_error_ends_all_is_not_done(tmp_path: Path) -> None:
    def fail() -> None:
        with processes(1) as pool:
            pool.submit(time.sleep, 0.2)
            pool.submit((tmp_path / "done").touch)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "done").exists()


def held(file: Path, megabytes: int, seconds: float) -> int:
    """Hold so much memory of its own, and that of a file that others hold too, for a while."""
    own = np.ones(megabytes * 2**17)
    shared = np.load(file, mmap_mode="r")
    read = int(shared.sum() + own.sum())
    time.sleep(seconds)
    return read


def test_memory_is_that_of_all_processes_and_what_they_share_counts_once(tmp_path: Path) -> None:
    # Two processes hold 100 MiB each for themselves, and one file of 200 MiB together.
    file = tmp_path / "shared.npy"
    np.save(file, np.ones(200 * 2**17))
    with processes(2) as pool:
        begun = [pool.submit(held, file, 1, 0.5) for _ in range(2)]
        assert all(one.result() for one in begun)
        with watched_memory(0.05) as before:
            time.sleep(0.1)
        with watched_memory(0.05) as memory:
            begun = [pool.submit(held, file, 100, 1.0) for _ in range(2)]
            assert all(one.result() for one in begun)

    assert memory.peak_mb - before.peak_mb == pytest.approx(400, abs=40)
