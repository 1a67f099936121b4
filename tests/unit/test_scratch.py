"""Folders that are filled beside what they become, and what killed writers left of them."""

import subprocess
import sys

import pytest

from appa_core.io.exclusive import held
from appa_core.io.staging import scratch_beside


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def leftover(folder, digit, name="day"):
    path = folder / f".{name}.{digit * 32}"
    path.mkdir()
    (path / "part").write_text("half")
    return path


def test_what_is_filled_becomes_the_output(tmp_path):
    with scratch_beside(tmp_path / "day") as scratch:
        (scratch / "file").write_text("whole")
        assert names(tmp_path) == [scratch.name]
        scratch.rename(tmp_path / "day")
    assert names(tmp_path) == ["day"]
    assert (tmp_path / "day" / "file").read_text() == "whole"


def test_what_is_not_finished_is_removed(tmp_path):
    def fail():
        with scratch_beside(tmp_path / "day") as scratch:
            (scratch / "file").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(tmp_path) == []


def test_leftovers_of_the_same_output_go_and_what_is_held_stays(tmp_path):
    dead, living = leftover(tmp_path, "0"), leftover(tmp_path, "1")
    other, mine = leftover(tmp_path, "2", "day.old"), tmp_path / ".day.notes"
    mine.mkdir()
    with held(living), scratch_beside(tmp_path / "day"):
        assert not dead.exists()
        assert living.exists()
    assert names(tmp_path) == sorted(p.name for p in (living, other, mine))


def test_a_killed_writer_leaves_nothing_for_long(tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "from appa_core.io.staging import scratch_beside\n"
        "with scratch_beside(pathlib.Path(sys.argv[1])) as scratch:\n"
        "    (scratch / 'file').write_text('half')\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "day")], check=False)
    assert done.returncode == 9
    assert len(names(tmp_path)) == 1
    with scratch_beside(tmp_path / "day"):
        pass
    assert names(tmp_path) == []
