"""A user's own operator: a function of named fields, beside the operators that there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from appa_core.errors import InputError
from appa_core.observe.points import Decoder
from appa_core.observe.quantities import quantity
from appa_core.observe.reports import ReportOperator
from appa_core.observe.terms import ObservedRows, terms_of
from appa_core.schema import StateSchema


class NamedFields(Mapping[str, Tensor]):
    """States of trajectories by variable, in SI units.

    A surface variable is (B, L, H, W), an upper-air one (B, L, level, H, W) with levels ascending;
    latitudes ascend, longitudes ascend from 0. Cells without a value are NaN.

    Args:
        values: (B, L, C, H, W).
        schema: What they hold.
        times: Valid times of the states, (L,) datetime64.
    """

    def __init__(self, values: Tensor, schema: StateSchema, times: np.ndarray) -> None:
        self._values, self._schema, self.times = values, schema, times

    def __getitem__(self, variable: str) -> Tensor:
        picks = [
            (channel.level or 0, i)
            for i, channel in enumerate(self._schema.channels)
            if channel.variable == variable
        ]
        if not picks:
            raise InputError(f"no field {variable!r}; there are: {', '.join(self)}")
        part = self._values[:, :, [i for _, i in sorted(picks)]]
        return part[:, :, 0] if picks[0][0] == 0 else part

    def __iter__(self) -> Iterator[str]:
        return iter(self._schema.variables)

    def __len__(self) -> int:
        return len(self._schema.variables)

    @property
    def latitudes(self) -> np.ndarray:
        """Degrees, (H,)."""
        return np.asarray(self._schema.grid.latitudes)

    @property
    def longitudes(self) -> np.ndarray:
        """Degrees east, (W,)."""
        return np.asarray(self._schema.grid.longitudes)

    @property
    def levels(self) -> np.ndarray:
        """Pressure in hPa, ascending."""
        return np.asarray(self._schema.levels)

    def at(self, variable: str, rows: ObservedRows) -> Tensor:
        """A field where and when rows were observed, (B, N).

        Bilinear in space, linear in time, and linear in ln(p) to the level of each row.
        """
        (term,) = terms_of(rows, quantity(variable), self._schema, self._values.shape[1])
        channels, cells = self._values.shape[2], self._values[0, 0, 0].numel()
        position = (term.state * channels + term.channel) * cells + term.cell
        device = self._values.device
        values = self._values.flatten(1)[:, torch.from_numpy(position.ravel()).to(device)]
        weight = torch.from_numpy(term.weight).to(values)
        used = torch.where(weight != 0, values.reshape(len(values), *weight.shape), 0.0)
        return (used * weight).sum(dim=-1)


#: Fields of B trajectories, and N rows of the table, to what each would read: (B, N), SI units.
#: `rows.state` counts the states of the fields, so that 1.5 lies between the second and the third.
OwnFunction: TypeAlias = "Callable[[Mapping[str, Tensor], ObservedRows], Tensor]"


@dataclass(frozen=True)
class OwnOperator:
    """Latent trajectories to what M reports would read: a user's own, and others beside them.

    Args:
        decode: Standardised latents to standardised states.
        schema: Fields of a state.
        function: The user's.
        name: What to call it in messages.
        read_rows: What it reads, N rows.
        columns: Where these stand among all M rows, (N,) int64.
        scale: What each of the M rows is divided by.
        base: What is added to standardised states times `std`, (L, C, H, W).
        std: (C, 1, 1).
        times: Valid times of the L states, (L,) datetime64.
        states: Which states the trajectory holds, of those that rows count.
        others: Operator of the other rows.
        other_columns: Where these stand, (M - N,) int64.
    """

    decode: Decoder
    schema: StateSchema
    function: OwnFunction
    name: str
    read_rows: ObservedRows
    columns: Tensor
    scale: Tensor
    base: Tensor
    std: Tensor
    times: np.ndarray
    states: range
    others: ReportOperator
    other_columns: Tensor

    def window(self, first: int, stop: int) -> tuple[OwnOperator, Tensor]:
        """The operator of the reports of some states alone, and which those are, (1, M)."""
        states = self.states[first:stop]
        others, inside_others = self.others.window(first, stop)
        here = (np.floor(self.read_rows.state) >= states.start) & (
            np.ceil(self.read_rows.state) < states.stop
        )
        picks = np.flatnonzero(here)
        inside = torch.zeros(1, len(self.scale), dtype=torch.bool, device=self.scale.device)
        inside[:, self.other_columns] = inside_others
        columns = self.columns[torch.from_numpy(picks).to(self.columns.device)]
        inside[:, columns] = True
        narrow = replace(
            self,
            read_rows=self.read_rows.rows(picks),
            columns=columns,
            states=states,
            others=others,
        )
        return narrow, inside

    def __call__(self, z: Tensor) -> Tensor:
        """(B, L, c, h, w) to (B, M); zero for reports of states outside."""
        decoded = self.decode(z.flatten(0, 1))
        fields = decoded.reshape(*z.shape[:2], *decoded.shape[1:])
        out = z.flatten(1)[:, :1] * z.new_zeros(len(self.scale))
        if self.others.read_states:
            chosen = [s - self.states.start for s in self.others.read_states]
            read = self.others.read(fields[:, chosen])
            out = out.index_copy(1, self.other_columns, read)
        if len(self.columns):
            out = out.index_copy(1, self.columns, self._own(fields))
        return out / self.scale

    def _own(self, fields: Tensor) -> Tensor:
        """(B, N) of standardised fields (B, L, C, H, W)."""
        here = slice(self.states.start, self.states.stop)
        physical = fields * self.std + self.base[here]
        rows = replace(self.read_rows, state=self.read_rows.state - self.states.start)
        read: object = self.function(NamedFields(physical, self.schema, self.times[here]), rows)
        return checked_reading(read, (len(fields), len(rows)), self.name).to(fields)

    def variance_of(self, rmse: Tensor, cells: int) -> Tensor:
        """Variance of what is read when whole channels are wrong, (M,), in units of `scale`.

        Of a user's own rows it is estimated from a trajectory of climatology with each channel
        wrong in turn.
        """
        variance = torch.zeros_like(self.scale)
        others = self.others.variance_of(rmse, cells) * self.others.scale.square()
        variance[self.other_columns] = others
        if len(self.columns):
            variance[self.columns] = self._own_variance(rmse)
        return variance / self.scale.square()

    @torch.no_grad()
    def _own_variance(self, rmse: Tensor) -> Tensor:
        zero = torch.zeros_like(self.base)[None, self.states.start : self.states.stop]
        normal = self._own(zero)
        total = torch.zeros_like(normal)
        for c, size in enumerate(rmse.tolist()):
            moved = zero.clone()
            moved[:, :, c] = size
            total = total + (self._own(moved) - normal).square()
        return total[0]


def checked_reading(read: object, shape: tuple[int, int], name: str) -> Tensor:
    """What a user's function returned, if it is what it should be.

    Raises:
        InputError: It is no array of a value for each trajectory and row, or not finite.
    """
    try:
        values = read if isinstance(read, Tensor) else torch.as_tensor(read)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"operator {name} returned a {type(read).__name__}; expected a tensor (trajectories, "
            f"rows) = {shape}"
        ) from error
    if tuple(values.shape) != shape:
        raise InputError(
            f"operator {name} returned shape {tuple(values.shape)}; expected (trajectories, "
            f"rows) = {shape}: one value for each row of the table and each trajectory"
        )
    if not torch.isfinite(values).all():
        bad = int((~torch.isfinite(values)).any(dim=0).sum())
        raise InputError(
            f"operator {name} returned values that are not finite for {bad} of {shape[1]} rows"
        )
    return values
