"""What the first blanket of a forecast makes of the states that it starts from."""

from dataclasses import replace

import torch

from appa_core.config.requests import forecast_request
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors, save_tensors
from appa_core.steps.forecast import LATENTS, Forecaster, prepare_forecast
from appa_core.steps.step import run_step
from tasks.catalog import model_folder, state_source


def latents(artifact):
    with artifact.verify().local() as folder:
        return load_tensors(folder / LATENTS)["latents"]


def test_draws_that_hit_the_truth_are_as_good_as_it(tmp_path):
    """Their spread says what is uncertain: nothing is added to that of the first blanket."""
    request = forecast_request(start="2024-01-01", lead_hours=24, members=2)
    known = prepare_forecast(request, state_source("sample"), model_folder("small"), "cpu")
    assert known.preset.sampling.chained_noise_scale > 1  # what later blankets are widened by
    store = ArtifactStore(tmp_path)
    exact = Forecaster(store, known).encode_known()
    states = latents(exact).expand(2, -1, -1, -1, -1)

    def build(folder):
        save_tensors(folder / LATENTS, {"latents": states.contiguous()})
        return {}

    drawn = run_step(store, Recipe("some-draws", 1, {}, {}), build)
    job = replace(known, starts_from_draws=True)
    one, other = (
        latents(Forecaster(store, j).sample_blanket(range(2), 0, start, lambda: None))
        for j, start in ((known, exact), (job, drawn))
    )
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert not torch.equal(one[0], one[1])
