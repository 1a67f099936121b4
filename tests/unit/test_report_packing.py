"""Fields as a page embeds them: within a size, off by half a step, read back by anyone."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from appa_core.errors import DataError
from appa_core.report.encode import Quantised
from appa_core.report.page import render_forecast_report
from appa_core.schema import Grid
from tests.pages import GRID, LEADS, Page, block, report


def smooth(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Waves with a little noise, as fields of weather have."""
    lat = np.deg2rad(Grid.equiangular(32, 64).latitudes)[:, None]
    lon = np.deg2rad(np.arange(64) * 5.625)[None]
    phase = rng.normal(size=shape).cumsum(-1)[..., None, None]
    wave = np.cos(lat) * np.sin(3 * lon + phase)
    return np.asarray(wave + 0.005 * rng.normal(size=wave.shape))


def test_page_of_a_usual_forecast_stays_within_its_budget() -> None:
    grid, leads = Grid.equiangular(32, 64), [6 * i for i in range(1, 21)]
    rng = np.random.default_rng(0)
    fields = [
        block(
            name,
            label=f"Field {name}",
            truth=smooth(rng, 20),
            ensemble=smooth(rng, 8, 20),
            climatology=np.zeros((20, 32, 64)),
        )
        for name in "abcdefgh"
    ]
    axes = {"latitudes": grid.latitudes, "longitudes": grid.longitudes, "lead_hours": leads}
    page = render_forecast_report(report(fields=fields, left_out=["Field x"], **axes), 2_500_000)
    assert len(page.encode()) < 3e6
    held = [f["name"] for f in Page(page).data["fields"]]
    assert held == list("abcdefgh")[: len(held)]
    assert 4 <= len(held) < 8
    rest = ", ".join(f"Field {name}" for name in [*"abcdefgh"[len(held) :], "x"])
    assert f"Not on this page, for its size: {8 - len(held) + 1} fields</summary>" in page
    assert f"<p>{rest}.</p>" in page


def test_one_field_is_there_whatever_the_budget() -> None:
    page = render_forecast_report(report(fields=[block("a"), block("b")]), 1)
    assert [f["name"] for f in Page(page).data["fields"]] == ["a"]


def test_quantisation_is_off_by_half_a_step_at_most() -> None:
    values = np.random.default_rng(0).normal(5.0e4, 800.0, size=(7, 5)).astype(np.float32)
    coded = Quantised.of(values, float(values.min()), float(values.max()))
    assert np.abs(coded.values - values).max() <= coded.scale / 2 * (1 + 1e-9)
    assert coded.scale == pytest.approx(np.ptp(values) / 4094, rel=1e-5)
    constant = Quantised.of(np.full(3, 4.5), 4.5, 4.5)
    np.testing.assert_array_equal(constant.values, 4.5)
    holed = Quantised.of(np.array([1.0, np.nan, 2.0]), 1.0, 2.0)
    np.testing.assert_allclose(holed.values, [1.0, np.nan, 2.0])


def unpacked(field: Mapping[str, Any], times: int, grid: Grid) -> dict[str, np.ndarray]:
    """Values of an embedded field, in display units, as its documentation says."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(field["data"])), np.uint8)
    low, high = planes.reshape(2, -1).astype(np.int64)
    folded = low + 256 * high
    change = np.where(folded % 2, -(folded + 1) // 2, folded // 2)
    codes = change.reshape(-1, times, *grid.shape).cumsum(3).cumsum(1)
    values = np.where(codes == 4095, np.nan, field["start"] + field["step"] * codes)
    sizes = [field["members"] if name == "ensemble" else 1 for name in field["arrays"]]
    parts = np.split(values, np.cumsum(sizes)[:-1])
    return dict(zip(field["arrays"], parts, strict=True))


def test_embedded_fields_read_back_in_display_units() -> None:
    original = block()
    embedded = Page(render_forecast_report(report())).data["fields"][0]
    found = unpacked(embedded, len(LEADS), GRID)
    assert set(found) == set(original.arrays)
    for name, values in original.arrays.items():
        shown = (values if values.ndim == 4 else values[None]) - 273.15
        np.testing.assert_allclose(found[name], shown, atol=0.51 * embedded["step"])
    assert embedded["units"] == "°C"
    assert embedded["differenceUnits"] == "K"


def test_cells_without_a_value_stay_so_where_they_may() -> None:
    holed = block().ensemble.copy()
    holed[..., 0] = np.nan
    with pytest.raises(DataError, match="not finite"):
        block(ensemble=holed)
    sea = block(ensemble=holed, truth=None, climatology=None, may_be_missing=True)
    found = unpacked(Page(render_forecast_report(report(fields=[sea]))).data["fields"][0], 3, GRID)
    np.testing.assert_array_equal(np.isnan(found["ensemble"]), np.isnan(holed))
