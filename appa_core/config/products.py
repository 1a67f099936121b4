"""What is asked of products: places, events and quantiles, as a command line gives them."""

from __future__ import annotations

from collections.abc import Sequence

from appa_core.config.events import EventText
from appa_core.errors import InputError
from appa_core.products import Event
from appa_core.report.content import Place


def parse_place(text: str) -> Place:
    """A place from "LAT,LON" or "NAME=LAT,LON" in degrees.

    Raises:
        InputError: The text is no such place.
    """
    name, _, where = text.rpartition("=")
    try:
        latitude, longitude = (float(part) for part in where.split(","))
    except ValueError as error:
        raise InputError(
            f"{text!r} is no place; expected LAT,LON in degrees, such as 52.5,13.4, or "
            "NAME=LAT,LON"
        ) from error
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 360):
        raise InputError(
            f"place {text!r}: expected a latitude from -90 to 90 and a longitude from -180 to 360"
        )
    return Place(name or f"{latitude:g},{longitude:g}", latitude, longitude)


def parse_event(text: str) -> Event:
    """An event from "FIELD>VALUE", such as `2m_temperature>273.15` or `temperature@850<=250`.

    The sign is one of > >= < <=; see `EventText.parse`.

    Raises:
        InputError: The text is no such event.
    """
    event = EventText.parse(text)
    if event.is_percentile:
        raise InputError(
            f"event {text!r}: expected a value in SI units; percentiles of the true states are "
            "events of flows.evaluate"
        )
    return Event(event.variable, event.level, event.sign, event.threshold)


def parse_quantiles(text: str) -> tuple[float, ...]:
    """Quantiles from a list such as "0.1,0.5,0.9", ascending.

    Raises:
        InputError: The text is no list of numbers from 0 to 1.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{text!r} are no quantiles; expected such as 0.1,0.5,0.9") from error
    if not all(0 <= v <= 1 for v in values):
        raise InputError(f"quantiles {text!r}: expected numbers from 0 to 1")
    return tuple(sorted(set(values)))


def unique_places(places: Sequence[Place]) -> list[Place]:
    """Places as given.

    Raises:
        InputError: Two of them have one name.
    """
    names = [p.name for p in places]
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise InputError(f"places repeat: {', '.join(repeated)}; name them with NAME=LAT,LON")
    return list(places)
