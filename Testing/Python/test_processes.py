"""Running other programs: their lines arrive, and stopping them ends everything that they started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from MemorySurvivalLib.processes import Ending, ExternalToolError, Stopped, descendants, kill_tree, run_tree

GRANDCHILD = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], start_new_session=sys.argv[3] == "apart")
print("started", flush=True)
time.sleep(60 if sys.argv[4] == "stays" else 0)
"""


def alive(pid: int) -> bool:
    """Whether a process still runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(path: Path) -> int:
    for _ in range(400):
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.025)
    raise AssertionError("the grandchild never started")


def gone(pid: int) -> bool:
    for _ in range(200):
        if not alive(pid):
            return True
        time.sleep(0.025)
    return False


def run_python(code: str, *arguments: str, **options: object) -> tuple[Ending, list[str]]:
    lines: list[str] = []
    options.setdefault("on_line", lines.append)
    ending = run_tree([sys.executable, "-c", code, *arguments], what="the test program", **options)  # type: ignore[arg-type]
    return ending, lines


def test_lines_of_both_streams_and_progress_bars_arrive_clean() -> None:
    code = (
        "import sys; print('one'); sys.stderr.write('\\x1b[32m 50%|###\\x1b[0m\\r100%|######\\n'); "
        "sys.stdout.buffer.write('Wirbelsäule ✓\\n'.encode())"
    )
    ending, lines = run_python(code)
    assert ending.status == 0
    assert sorted(lines) == sorted(["one", "50%|###", "100%|######", "Wirbelsäule ✓"])


def test_bytes_that_are_no_text_do_not_end_the_run() -> None:
    ending, lines = run_python("import sys; sys.stdout.buffer.write(b'\\xff\\xfe ok\\n')")
    assert ending.status == 0 and lines[0].endswith("ok")


def test_the_reason_of_a_failure_is_the_last_line_that_says_something() -> None:
    ending, _ = run_python("print('working'); raise ValueError('no such weights')")
    assert ending.status == 1
    assert ending.reason == "ValueError: no such weights"
    assert Ending(1, ()).reason == ""


def test_a_missing_program_is_one_sentence() -> None:
    with pytest.raises(ExternalToolError, match=r"^The tool cannot be started: /no/such/tool is not a program here\.$"):
        run_tree(["/no/such/tool"], what="The tool", on_line=lambda line: None)


@pytest.mark.skipif(os.name == "nt", reason="process states are read from /proc")
@pytest.mark.parametrize("grouping", ["together", "apart"])
def test_stopping_ends_grandchildren_too(tmp_path: Path, grouping: str) -> None:
    """Also those that left the process group, which a plain kill of the group would miss."""
    mark = tmp_path / "grandchild"
    started = time.monotonic()
    with pytest.raises(Stopped, match="was stopped"):
        run_python(
            PARENT, GRANDCHILD, str(mark), grouping, "stays", stop=lambda: mark.exists() and bool(mark.read_text())
        )
    assert gone(wait_for(mark))
    assert time.monotonic() - started < 20


@pytest.mark.skipif(os.name == "nt", reason="process states are read from /proc")
def test_killing_the_one_in_charge_ends_the_tree(tmp_path: Path) -> None:
    """Not even a kill that nobody can catch leaves the program and its children running."""
    mark = tmp_path / "grandchild"
    root = Path(__file__).resolve().parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); from MemorySurvivalLib.processes import run_tree\n"
        f"run_tree([sys.executable, '-c', {PARENT!r}, {GRANDCHILD!r}, {str(mark)!r}, 'apart', 'stays'], what='x', "
        "on_line=lambda line: None)"
    )
    boss = subprocess.Popen([sys.executable, "-c", code])
    grandchild = wait_for(mark)
    family = descendants(boss.pid)
    assert grandchild in family and len(family) == 3  # keeper, program, grandchild
    boss.kill()
    boss.wait()
    assert all(gone(each) for each in family)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_program_that_dies_by_a_signal() -> None:
    ending, _ = run_python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert ending.status == -9


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    text = tmp_path / "tool"
    text.write_text("#!/no/such/interpreter\n")
    text.chmod(0o755)
    with pytest.raises(ExternalToolError, match="The tool cannot be started"):
        run_tree([str(text)], what="The tool", on_line=lambda line: None)


@pytest.mark.skipif(os.name == "nt", reason="process states are read from /proc")
def test_a_callback_that_raises_ends_the_tree(tmp_path: Path) -> None:
    mark = tmp_path / "grandchild"

    def watch(line: str) -> None:
        wait_for(mark)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_python(PARENT, GRANDCHILD, str(mark), "together", "stays", on_line=watch)
    assert gone(wait_for(mark))


@pytest.mark.skipif(os.name == "nt", reason="process states are read from /proc")
def test_what_a_program_leaves_behind_dies_with_it(tmp_path: Path) -> None:
    """The grandchild keeps the pipe open; nobody waits for it."""
    mark = tmp_path / "grandchild"
    code = (
        PARENT + "\nimport os\nwhile not os.path.exists(sys.argv[2]) or not open(sys.argv[2]).read(): time.sleep(.02)"
    )
    ending, _ = run_python(code, GRANDCHILD, str(mark), "together", "leaves")
    assert ending.status == 0
    assert gone(wait_for(mark))


def test_a_program_that_closes_its_output_can_still_be_stopped() -> None:
    started = time.monotonic()
    with pytest.raises(Stopped):
        run_python(
            "import os, time; os.close(1); os.close(2); time.sleep(60)", stop=lambda: time.monotonic() - started > 0.8
        )
    assert time.monotonic() - started < 10


def test_a_silent_program_is_watched() -> None:
    beats: list[float] = []
    run_python("import time; time.sleep(0.9)", on_beat=lambda: beats.append(time.monotonic()))
    assert len(beats) >= 3
    assert max(later - earlier for earlier, later in pairwise(beats)) < 2.0


def test_the_environment_is_added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OURS", "kept")
    code = "import os; print(os.environ['OURS'], os.environ['THEIRS'], os.getcwd())"
    _, lines = run_python(code, environment={"THEIRS": "añadido"}, folder=tmp_path)
    assert lines == [f"kept añadido {tmp_path}"]


def test_killing_what_is_gone_is_fine() -> None:
    ending, _ = run_python("pass")
    assert ending.status == 0
    kill_tree(2**22 + 12345)  # beyond the largest process number of Linux
    assert descendants(2**22 + 12345) == []
