"""Events as a command line gives them: a field beyond a threshold."""

from __future__ import annotations

import re
from dataclasses import dataclass

from appa_core.errors import InputError

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_EVENT = re.compile(rf"\s*(\w+?)(?:[@_](\d+))?\s*(>=|<=|>|<)\s*(q?)({_NUMBER})\s*")


@dataclass(frozen=True)
class EventText:
    """The parts of an event's text.

    Args:
        variable: Name as it was given.
        level: In hPa; None at the surface.
        sign: One of > >= < <=.
        threshold: In SI units, or a percentage.
        is_percentile: Whether the threshold is a percentile of the true states.
    """

    variable: str
    level: int | None
    sign: str
    threshold: float
    is_percentile: bool

    @classmethod
    def parse(cls, text: str) -> EventText:
        """The parts of "FIELD>VALUE", such as `temperature@850<=250` or `2m_temperature>q90`.

        A field at a level is `variable@hPa` or `variable_hPa`.

        Raises:
            InputError: The text is no event.
        """
        found = _EVENT.fullmatch(text)
        if found is None:
            raise InputError(
                f"{text!r} is no event; expected a field, one of > >= < <=, and a value in SI "
                "units, such as 2m_temperature>273.15 or temperature@850<250"
            )
        name, level, sign, percentile, value = found.groups()
        return cls(name, int(level) if level else None, sign, float(value), bool(percentile))
