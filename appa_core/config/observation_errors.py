"""Tables of observation errors as YAML: read, checked, made into objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, TypeAdapter, field_validator

from appa_core.config.base import Strict
from appa_core.config.named import load_named
from appa_core.observations.errors import ANY, ErrorTable, InstrumentError, PlatformErrors
from appa_core.observe.quantities import QUANTITIES

_Std = Annotated[float, Field(gt=0)]
_Length = Annotated[float, Field(ge=0)]


class PlatformConfig(Strict):
    """Errors of a platform.

    Args:
        instrument: Standard deviations by quantity, SI units: one, or by level in hPa.
        representativeness: Factor of errors of representativeness.
        correlation_ln_p: Correlation length within a report in ln p; 0: none.
        correlation_km: Correlation length within a report along the ground; 0: none.
    """

    instrument: dict[str, _Std | dict[_Std, _Std]]
    representativeness: _Length = 1.0
    correlation_ln_p: _Length = 0.0
    correlation_km: _Length = 0.0

    @field_validator("instrument")
    @classmethod
    def _quantities(
        cls, value: dict[str, float | dict[float, float]]
    ) -> dict[str, float | dict[float, float]]:
        _require_known(value)
        if any(levels == {} for levels in value.values()):
            raise ValueError("expected one error, or at least one by level")
        return value

    def build(self) -> PlatformErrors:
        """The errors as an object."""
        return PlatformErrors(
            {name: _instrument(errors) for name, errors in self.instrument.items()},
            self.representativeness,
            self.correlation_ln_p,
            self.correlation_km,
        )


class ErrorTableConfig(Strict):
    """Errors of observations.

    Args:
        reference_km: Spacing of the grid that `representativeness` is for.
        break_km: Spacing at which its growth steepens.
        representativeness: Standard deviations by quantity, SI units.
        platforms: By name; one is `any`.
    """

    reference_km: _Std
    break_km: _Std
    representativeness: dict[str, _Length]
    platforms: dict[str, PlatformConfig]

    @field_validator("representativeness")
    @classmethod
    def _quantities(cls, value: dict[str, float]) -> dict[str, float]:
        _require_known(value)
        return value

    @field_validator("platforms")
    @classmethod
    def _any(cls, value: dict[str, PlatformConfig]) -> dict[str, PlatformConfig]:
        if ANY not in value:
            raise ValueError(
                f"expected errors of the platform {ANY!r}, which serves those without their own"
            )
        return value

    def build(self) -> ErrorTable:
        """The table as an object."""
        return ErrorTable(
            {name: platform.build() for name, platform in self.platforms.items()},
            self.representativeness,
            self.reference_km,
            self.break_km,
        )


def load_error_table(name_or_path: str = "standard") -> ErrorTableConfig:
    """A table of errors that ships, by name, or one from a YAML file.

    Raises:
        InputError: No such table, or one that is not valid; the message says why.
    """
    return load_named("error_table", name_or_path, TypeAdapter(ErrorTableConfig))


def _instrument(errors: float | dict[float, float]) -> InstrumentError:
    if isinstance(errors, dict):
        levels = sorted(errors)
        return InstrumentError(tuple(levels), tuple(errors[p] for p in levels))
    return InstrumentError((), (errors,))


def _require_known(names: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(QUANTITIES))
    if unknown:
        raise ValueError(
            f"unknown quantities {', '.join(unknown)}; there are: {', '.join(sorted(QUANTITIES))}"
        )
