"""What instruments would read of a decoded trajectory, report by report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from appa_core import thermodynamics
from appa_core.climatology import Normalisation
from appa_core.constants import STANDARD_GRAVITY
from appa_core.errors import DataError
from appa_core.observe import physics
from appa_core.observe.points import Decoder
from appa_core.observe.quantities import QUANTITIES, quantity
from appa_core.observe.terms import ObservedRows, Term, base_values, terms_of
from appa_core.schema import StateSchema


@dataclass(frozen=True)
class RowConstants:
    """What a quantity needs to know of its rows besides fields: SI units, (N,) float32 each."""

    pressure: Tensor
    elevation: Tensor
    value: Tensor


#: Terms, (B, N) each, and constants to what is read, (B, N).
Reading = Callable[[Sequence[Tensor], RowConstants], Tensor]

READINGS: dict[str, Reading] = {
    "virtual_temperature": lambda t, _: thermodynamics.virtual_temperature(*t),
    "relative_humidity": lambda t, c: thermodynamics.relative_humidity(t[0], t[1], c.pressure),
    "dew_point_temperature": lambda t, c: physics.dew_point(t[0], c.pressure),
    "wind_speed": lambda t, _: physics.wind_speed(*t),
    "wind_direction": lambda t, c: physics.wind_direction_near(t[0], t[1], c.value),
    "10m_wind_speed": lambda t, _: physics.wind_speed(*t),
    "10m_wind_direction": lambda t, c: physics.wind_direction_near(t[0], t[1], c.value),
    "surface_pressure": lambda t, c: physics.station_pressure(t[0], t[1], c.elevation),
    "layer_thickness": lambda t, _: (t[1] - t[0]) / STANDARD_GRAVITY,
}


@dataclass(frozen=True)
class Group:
    """Rows of one quantity.

    Args:
        name: The quantity.
        columns: Where they stand among all rows, (N,) int64.
        state: States that their terms read, (terms, N, K) int64.
        position: Channel and cell in a flattened state (C, H, W), (terms, N, K) int64.
        weight: Of standardised values, (terms, N, K) float32.
        base: What the climatology contributes, (terms, N) float32.
        constants: Of the rows.
    """

    name: str
    columns: Tensor
    state: Tensor
    position: Tensor
    weight: Tensor
    base: Tensor
    constants: RowConstants

    @cached_property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """First and last state that each row reads, (N,) each."""
        reads = self.weight != 0
        last = torch.where(reads, self.state, -1).amax(dim=(0, 2))
        first = torch.where(reads, self.state, 1 << 40).amin(dim=(0, 2))
        return first, last

    def rows(self, picks: Tensor) -> Group:
        """Some rows."""
        c = self.constants
        return Group(
            self.name,
            self.columns[picks],
            self.state[:, picks],
            self.position[:, picks],
            self.weight[:, picks],
            self.base[:, picks],
            RowConstants(c.pressure[picks], c.elevation[picks], c.value[picks]),
        )


@dataclass(frozen=True)
class ReportOperator:
    """Latent trajectories to what M reports would read, each in units of its own spread.

    Only states that are read are decoded. Every row of a batch has the same reports.

    Args:
        decode: Standardised latents to standardised states.
        groups: Reports by quantity.
        scale: Spread that each report is divided by, (M,) float32.
        states: Which states the trajectory holds, of those that groups count.
        read_states: States that any report reads, ascending.
    """

    decode: Decoder
    groups: tuple[Group, ...]
    scale: Tensor
    states: range
    read_states: tuple[int, ...]

    @classmethod
    def build(
        cls,
        decode: Decoder,
        rows: ObservedRows,
        schema: StateSchema,
        normalisation: Normalisation,
        times: np.ndarray,
        device: torch.device | None = None,
    ) -> ReportOperator:
        """The operator of reports that `unusable` finds no fault with.

        Args:
            decode: Standardised latents (N, c, h, w) to standardised states (N, C, H, W).
            rows: M reports.
            schema: Fields of a state.
            normalisation: Between standardised and physical states.
            times: Valid times of the states, (L,) datetime64.
            device: Where it is applied.
        """
        groups, scale = [], np.ones(len(rows))
        for name in sorted(set(rows.quantity.tolist())):
            columns = np.flatnonzero(rows.quantity == name)
            own = rows.rows(columns)
            terms = terms_of(own, quantity(name), schema, len(times))
            scale[columns] = _spread(name, terms[0], normalisation)
            groups.append(_group(name, columns, own, terms, schema, normalisation, times))
        operator = cls(
            decode,
            tuple(groups),
            torch.from_numpy(scale.astype(np.float32)),
            range(len(times)),
            _read_states(groups),
        )
        return operator if device is None else operator.to(device)

    def to(self, device: torch.device) -> ReportOperator:
        """The operator on a device."""
        groups = [
            replace(
                g,
                **{n: getattr(g, n).to(device) for n in ("columns", "state", "position")},
                **{n: getattr(g, n).to(device) for n in ("weight", "base")},
                constants=RowConstants(*(x.to(device) for x in vars(g.constants).values())),
            )
            for g in self.groups
        ]
        return replace(self, groups=tuple(groups), scale=self.scale.to(device))

    def window(self, first: int, stop: int) -> tuple[ReportOperator, Tensor]:
        """The operator of the reports of some states alone, and which those are, (1, M)."""
        states = self.states[first:stop]
        inside = torch.zeros(len(self.scale), dtype=torch.bool, device=self.scale.device)
        groups = []
        for group in self.groups:
            begins, ends = group.bounds
            picks = ((begins >= states.start) & (ends < states.stop)).nonzero().flatten()
            if len(picks):
                groups.append(group.rows(picks))
                inside[group.columns[picks]] = True
        narrow = replace(
            self, groups=tuple(groups), states=states, read_states=_read_states(groups)
        )
        return narrow, inside[None]

    def __call__(self, z: Tensor) -> Tensor:
        """(B, L, c, h, w) to (B, M); zero for reports of states outside."""
        if not self.read_states:
            return z.flatten(1)[:, :1] * z.new_zeros(len(self.scale))
        chosen = torch.stack([z[:, s - self.states.start] for s in self.read_states], dim=1)
        decoded = self.decode(chosen.flatten(0, 1))
        fields = decoded.reshape(len(z), len(self.read_states), *decoded.shape[1:])
        return self.read(fields) / self.scale

    def read(self, fields: Tensor) -> Tensor:
        """What is read of the standardised states that are read at all, in SI units.

        Args:
            fields: (B, T, C, H, W), `read_states` in their order.

        Returns:
            (B, M).
        """
        flat = fields.flatten(1)
        size = flat.shape[1] // len(self.read_states)
        place = torch.zeros(self.read_states[-1] + 1, dtype=torch.int64, device=flat.device)
        place[list(self.read_states)] = torch.arange(len(self.read_states), device=flat.device)
        out = flat.new_zeros(len(flat), len(self.scale))
        for group in self.groups:
            # an entry that weighs nothing may name a state that is not decoded
            state = torch.where(group.weight != 0, group.state, self.read_states[0])
            position = place[state] * size + group.position
            values = flat[:, position.flatten()].reshape(len(flat), *position.shape)
            terms = (values * group.weight).sum(dim=-1) + group.base
            out = out.index_add(1, group.columns, self._reading(group, terms))
        return out

    def variance_of(self, rmse: Tensor, cells: int) -> Tensor:
        """Variance of what is read when whole channels are wrong, (M,), in units of `scale`.

        Channels err independently, each by as much everywhere: errors of an autoencoder are alike
        in neighbouring cells, so that averages over them gain nothing.

        Args:
            rmse: Error of each channel, (C,), standardised.
            cells: H W.
        """
        variance = torch.zeros_like(self.scale)
        for group in self.groups:
            channel = group.position // cells
            normal = self._reading(group, group.base[None])
            total = torch.zeros_like(normal)
            for c in np.unique(channel.cpu().numpy()):
                moved = (group.weight * (channel == int(c))).sum(dim=-1) * rmse[c]
                total += (self._reading(group, (group.base + moved)[None]) - normal).square()
            variance = variance.index_add(0, group.columns, total[0])
        return variance / self.scale.square()

    @staticmethod
    def _reading(group: Group, terms: Tensor) -> Tensor:
        """Terms (B, terms, N) to what is read, (B, N)."""
        reading = READINGS.get(group.name)
        parts = list(terms.unbind(dim=1))
        return parts[0] if reading is None else reading(parts, group.constants)


def _read_states(groups: Sequence[Group]) -> tuple[int, ...]:
    found = [np.unique(g.state[g.weight != 0].cpu().numpy()) for g in groups]
    return tuple(np.unique(np.concatenate(found)).tolist()) if found else ()


def _group(
    name: str,
    columns: np.ndarray,
    rows: ObservedRows,
    terms: Sequence[Term],
    schema: StateSchema,
    normalisation: Normalisation,
    times: np.ndarray,
) -> Group:
    cells = schema.grid.shape[0] * schema.grid.shape[1]
    base = [base_values(term, normalisation, times, cells) for term in terms]
    if not np.isfinite(base).all():
        raise DataError(f"reports of {name} read cells without a value; reject them first")
    stack = np.stack([t.weight * normalisation.std[t.channel] for t in terms])
    constants = (100.0 * rows.level, rows.elevation_m, rows.value)
    return Group(
        name,
        torch.from_numpy(columns),
        torch.from_numpy(np.stack([t.state for t in terms])),
        torch.from_numpy(np.stack([t.channel * cells + t.cell for t in terms])),
        torch.from_numpy(stack.astype(np.float32)),
        torch.from_numpy(np.asarray(base, np.float32)),
        RowConstants(*(torch.from_numpy(c.astype(np.float32)) for c in constants)),
    )


def _spread(name: str, term: Term, normalisation: Normalisation) -> np.ndarray:
    """Spread of rows: that of the channel for fields of a state, a typical one for the rest."""
    if QUANTITIES[name].fields == (name,):
        share = np.abs(term.weight) / np.abs(term.weight).sum(axis=1, keepdims=True)
        spread: np.ndarray = (share * normalisation.std[term.channel]).sum(axis=1)
        return spread
    return np.full(len(term.weight), QUANTITIES[name].spread)
