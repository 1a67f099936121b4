"""Finding a user's own operator by name, and trying it before the long run."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from appa_core.errors import AppaError, InputError
from appa_core.observations.table import ObservationTable
from appa_core.observe.own import OwnFunction
from appa_core.observe.quantities import OWN
from appa_core.steps.models import Model
from appa_core.steps.reported import Reading, report_observation


@dataclass(frozen=True)
class OwnReference:
    """A user's own operator: what it is called, and which code it is.

    Args:
        name: `package.module:function`.
        source: Hash of the module's source.
        reads_all: It reads all rows, for none of the table is of quantity `own`.
    """

    name: str
    source: str
    reads_all: bool

    @classmethod
    def find(cls, name: str, table: ObservationTable) -> OwnReference:
        """The operator of a name.

        Args:
            name: `package.module:function`.
            table: What it is to read.

        Raises:
            InputError: There is no such module or function.
        """
        function = _imported(name)
        try:
            text = inspect.getsource(sys.modules[function.__module__])
        except (OSError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"operator {name}: the source of its module cannot be read: {error}; results are "
                "kept by it, so that it must lie in a file"
            ) from error
        reads_all = not (table.frame["quantity"] == OWN).any()
        return cls(name, hashlib.sha256(text.encode()).hexdigest()[:20], reads_all)

    def reading(self, *, of_states: bool = False) -> Reading:
        """How a table is read with it."""
        return Reading(_imported(self.name), self.name, self.reads_all, of_states)

    def hashed(self) -> dict[str, object]:
        """JSON-compatible content, as it enters artifact keys."""
        return {"name": self.name, "source": self.source, "reads_all": self.reads_all}


def _imported(name: str) -> OwnFunction:
    module_name, separator, function_name = name.partition(":")
    if not (separator and module_name and function_name):
        raise InputError(f"operator {name!r}: expected package.module:function")
    here = str(Path.cwd())
    is_new = here not in sys.path
    if is_new:  # as `python -m` has it; not so in a worker
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # it is the user's code
        raise InputError(
            f"operator {name!r}: cannot import {module_name}: {type(error).__name__}: {error}; it "
            "must lie in this folder or on PYTHONPATH"
        ) from error
    finally:
        if is_new:
            sys.path.remove(here)
    function = getattr(module, function_name, None)
    if not callable(function):
        names = [n for n, f in vars(module).items() if inspect.isfunction(f)]
        raise InputError(
            f"operator {name!r}: {module_name} has no function {function_name}; it has: "
            f"{', '.join(names) or 'none'}"
        )
    found: OwnFunction = function
    return found


def try_operator(
    model: Model,
    table: ObservationTable,
    times: pd.DatetimeIndex,
    reading: Reading,
    *,
    needs_gradient: bool,
) -> None:
    """Apply an operator to two trajectories of climatology, one of them a little off.

    Args:
        model: Networks.
        table: Rows that can be read, at least one.
        times: Valid times of the trajectory's states.
        reading: How they are read.
        needs_gradient: The method differentiates it.

    Raises:
        InputError: It fails, or returns another shape or values that are not finite.
        DataError: It has no gradient, and the method needs one.
    """
    try:
        slope = _slope(model, table, times, reading, needs_gradient=needs_gradient)
    except AppaError:
        raise
    except Exception as error:  # it is the user's code
        raise InputError(
            f"operator {reading.name} fails: {type(error).__name__}: {error}"
        ) from error
    if slope is None:
        return
    if not torch.isfinite(slope).all() or not slope.any():
        what = "zero everywhere" if torch.isfinite(slope).all() else "not finite"
        raise InputError(
            f"operator {reading.name} has a gradient that is {what}; write it with torch "
            "functions of the fields, or use --method es-mda, which needs none"
        )


def _slope(
    model: Model,
    table: ObservationTable,
    times: pd.DatetimeIndex,
    reading: Reading,
    *,
    needs_gradient: bool,
) -> Tensor | None:
    """The gradient of all that is read, if it is needed."""
    observation = report_observation(model, table, times, reading)
    shape = (2, len(times), model.latent_mean.shape[0], *model.autoencoder.latent_shape[1:])
    z = 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    z = z.to(model.latent_mean.device)
    if not needs_gradient:
        with torch.no_grad():
            observation.residual(observation.predict(z))
        return None
    at = observation.linearise(z)
    return at.vjp(torch.ones_like(at.value))
