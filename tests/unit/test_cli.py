import argparse
import errno

import httpx
import pytest

from appa_core.errors import InputError
from flows.cli import new_parser, run_command


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


def lost_server():
    """As Prefect raises it: an error of its own, because of one of the network."""
    try:
        raise httpx.ConnectError("All connection attempts failed")
    except httpx.ConnectError as error:
        try:
            raise RuntimeError("Failed to reach API at http://127.0.0.1:1/api/") from error
        except RuntimeError as outer:
            return outer


def test_a_server_that_is_away_is_said_in_one_line(capsys, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://me:hush@127.0.0.1:1/api")
    with pytest.raises(SystemExit) as stop:
        run_command(failing(lost_server()), argparse.Namespace(traceback=False))
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "the Prefect server (http://***@127.0.0.1:1/api) does not answer" in printed
    assert "the same command continues" in printed


def test_an_embedded_server_that_does_not_start(capsys):
    error = RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server.")
    with pytest.raises(SystemExit) as stop:
        run_command(failing(error), argparse.Namespace(traceback=False))
    assert stop.value.code == 2
    assert "the Prefect server (the embedded one) does not answer" in capsys.readouterr().err


def test_an_option_given_as_two_dashes_is_a_mistake(capsys):
    """Of which argparse makes an empty list."""
    with pytest.raises(SystemExit) as stop:
        new_parser("x", "x").parse_args(["--store=--"])
    assert stop.value.code == 2
    assert "--store: expected one argument" in capsys.readouterr().err
