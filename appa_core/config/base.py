"""What all configuration shares."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

#: Larger ones are slips of the pen, which would fill the memory before they are noticed.
_LARGEST = 2**31 - 1
Positive = Annotated[int, Field(gt=0, le=_LARGEST)]
#: Of random numbers.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
#: A century.
MOST_HOURS = 100 * 366 * 24
Hours = Annotated[int, Field(gt=0, le=MOST_HOURS)]
Share = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """Base of all configuration: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def hashed(self) -> dict[str, Any]:
        """JSON-compatible content, as it enters artifact keys."""
        return self.model_dump(mode="json")
