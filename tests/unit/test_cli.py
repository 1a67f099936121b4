import argparse
import errno

import pytest

from appa_core.errors import InputError
from flows.cli import run_command


def failing(error):
    def command(_arguments):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InputError("no such date"), 2, "error: no such date"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "No space left on device"),
        (KeyboardInterrupt(), 130, "continues where this one stopped"),
    ],
)
def test_errors_of_use_end_with_one_line(capsys, error, status, message):
    with pytest.raises(SystemExit) as stop:
        run_command(failing(error), argparse.Namespace(traceback=False))
    assert stop.value.code == status
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("error", [InputError("no such date"), OSError(errno.ENOSPC, "full")])
def test_tracebacks_on_request(error):
    with pytest.raises(type(error)):
        run_command(failing(error), argparse.Namespace(traceback=True))


def test_faults_of_the_program_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_command(failing(ZeroDivisionError()), argparse.Namespace(traceback=False))
