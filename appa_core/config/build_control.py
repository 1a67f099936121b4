"""From a control's configuration to the checks: the only place that does so."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from appa_core.config.control import (
    BlackListConfig,
    CheckConfig,
    ControlConfig,
    SuperobbingConfig,
    ThinningConfig,
)
from appa_core.errors import InputError
from appa_core.observations.control.buddies import BuddyCheck
from appa_core.observations.control.check import Check, Control
from appa_core.observations.control.density import Boxes, Superobbing, Thinning
from appa_core.observations.control.lists import BlackList, FileFlags, Listing
from appa_core.observations.control.ranges import (
    BackgroundDeparture,
    ClimatologicalRange,
    PhysicalRange,
)
from appa_core.observations.control.repeats import Duplicates, OneOf, WindPairs

#: Checks whose arguments are called as their settings are.
_BY_KIND: Mapping[str, Callable[..., Check]] = {
    "file-flags": FileFlags,
    "physical-range": PhysicalRange,
    "climatological-range": ClimatologicalRange,
    "background-departure": BackgroundDeparture,
    "buddies": BuddyCheck,
    "duplicates": Duplicates,
    "one-of": OneOf,
    "wind-pairs": WindPairs,
}


def build_control(config: ControlConfig) -> Control:
    """The checks in their order.

    Raises:
        InputError: They cannot be made in this order, or a black-list has not been read.
    """
    return Control(tuple(_check(c) for c in config.checks))


def _check(config: CheckConfig) -> Check:
    match config:
        case BlackListConfig():
            if config.file is not None:
                raise InputError(f"the black-list {config.file} has not been read")
            return BlackList(tuple(Listing(**vars(item)) for item in config.listings))
        case ThinningConfig():
            return Thinning(Boxes(**vars(config.boxes)))
        case SuperobbingConfig():
            return Superobbing(Boxes(**vars(config.boxes)), config.correlation)
        case _:
            arguments = {k: v for k, v in vars(config).items() if k != "kind"}
            return _BY_KIND[config.kind](**arguments)
