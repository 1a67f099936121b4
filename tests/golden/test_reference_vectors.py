"""Schedules, guidance, folding, samplers and orbits against numbers of the authors' modules.

`make_reference.py` wrote the numbers. Schedules and orbits were made in single precision, the rest
in double; those of the denoiser are in `test_published_transformer.py`.
"""

import numpy as np
import pytest
import torch

from appa_core.blankets import FoldPlan
from appa_core.diffusion.denoiser import Condition
from appa_core.diffusion.samplers import AdamsBashforth, DdimSampler
from appa_core.diffusion.schedule import LogLinearSchedule, LogLogitSchedule, RectifiedSchedule
from appa_core.diffusion.trajectory import TrajectoryDenoiser
from appa_core.guidance.covariance import DiagonalCovariance
from appa_core.guidance.gradients import Sda
from appa_core.guidance.mmps import Mmps
from appa_core.guidance.observation import Observation
from appa_core.observe.networks import CircularOrbit
from tests.golden.make_reference import NETWORK, TARGET


@pytest.fixture(scope="module")
def oracle():
    with np.load(TARGET) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("rectified", RectifiedSchedule(1e-3, 1e3)),
        ("loglinear", LogLinearSchedule(1e-3, 1e3)),
        ("loglogit", LogLogitSchedule(1e-3, 1e3)),
    ],
)
def test_schedules(oracle, name, schedule):
    """sigma at 17 times from 0 to 1, in single precision."""
    ours = schedule.sigma(torch.linspace(0, 1, 17, dtype=torch.float64))
    theirs = oracle[f"schedule_{name}"].double()
    error = (ours / theirs - 1).abs()
    # the rectified denominator, 1e-3 at the end, is a difference of numbers near 1
    rounding = theirs * torch.finfo(torch.float32).eps if name == "rectified" else 0 * theirs
    assert (error < 1e-6 + rounding).all()
    assert (error < 1.3e-5).all()


@pytest.fixture
def guided(oracle):
    """Arguments of a guidance: a denoiser with a tanh, A(x) = v + 0.1 sin v with v = A x."""
    weights, matrix = oracle["guid_W"], oracle["guid_A"]

    def blanket(x, sigma, condition):
        s = sigma[:, None, None]
        scaled = x / torch.sqrt(1 + s**2)
        return x / (1 + s**2) + s / torch.sqrt(1 + s**2) * 0.3 * torch.tanh(scaled @ weights.T)

    def operator(x):
        v = x[:, 0] @ matrix.T
        return v + 0.1 * torch.sin(v)

    empty = torch.zeros(1, 1, 1)
    denoiser = TrajectoryDenoiser(blanket, FoldPlan(1, 1, 1), Condition(empty, empty, empty))
    cov_y = DiagonalCovariance(oracle["guid_var"])
    observation = Observation(y=oracle["guid_y"][None], A=operator, cov_y=cov_y)
    return oracle["guid_xt"][:, None], oracle["guid_sigma"][0], denoiser, observation


def as_published(iterations, covariance="tweedie"):
    """Moment matching without what this project added to it."""
    return Mmps(
        "gmres", iterations, tolerance=0.0, covariance=covariance, whiten=False, safeguard=False
    )


@pytest.mark.parametrize("iterations", [1, 2, 4])
def test_moment_matching(oracle, guided, iterations):
    close(as_published(iterations)(*guided)[:, 0], oracle[f"mmps_out_it{iterations}"])


def test_moment_matching_with_a_scalar_covariance(oracle, guided):
    close(as_published(2, "scalar")(*guided)[:, 0], oracle["mmps_out_scalarcov_it2"])


def test_score_based_data_assimilation(oracle, guided):
    close(Sda(0.5)(*guided)[:, 0], oracle["sda_out_gamma0.5"])


@pytest.mark.parametrize("fold", ["symmetrical", "causal", "average"])
@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_folding_of_blankets(oracle, fold, at_once):
    """x -> W x on flattened blankets."""
    blanket, stride, width = oracle["window_K_S_D"].tolist()
    x = oracle["window_in"].reshape(2, -1, width)
    length = x.shape[1]
    empty = torch.zeros(2, length, 1)
    denoiser = TrajectoryDenoiser(
        lambda x, _sigma, _condition: (x.flatten(1) @ oracle["window_W"].T).reshape(x.shape),
        FoldPlan(length, blanket, stride, fold),
        Condition(empty, empty, empty),
        batch=at_once,
    )
    close(denoiser(x, torch.ones(2)).flatten(1), oracle[f"window_out_{fold}"])


@pytest.mark.parametrize("steps", [8, 32])
@pytest.mark.parametrize(
    ("name", "sampler"), [("ddim", DdimSampler()), ("lms3", AdamsBashforth(3))]
)
def test_samplers(oracle, name, sampler, steps):
    """The exact denoiser of N(mu, diag var), from the same noise."""
    mu, var = oracle["gauss_mu"], oracle["gauss_var"]
    sigmas = RectifiedSchedule(1e-3, 1e3).steps(steps)

    def mean(x, sigma):
        return (mu * sigma[:, None] ** 2 + x * var) / (sigma[:, None] ** 2 + var)

    x = sampler.sample(mean, lambda _: oracle["gauss_x1"] / sigmas[0], sigmas)
    close(x, oracle[f"{name}_{steps}"])


def test_the_orbit(oracle):
    """Ground track of a circular orbit, 800 km and 75 degrees: three hours, a fix a minute."""
    expected = oracle["orbit_800km_75deg_3h"].reshape(-1, 2).T.double()
    track = CircularOrbit(altitude_km=800, inclination_deg=75).ground_track(np.arange(180))
    ours = torch.from_numpy(np.stack(track))
    difference = (ours - expected + 180) % 360 - 180
    difference[1] *= torch.cos(torch.deg2rad(expected[0]))
    assert difference.abs().max() < 1e-5 * 360


def test_numbers_are_those_of_the_source(oracle, shared_data):
    """All arrays but the autoencoder's, which have a test of their own."""
    source = shared_data / "vectors" / "appa_reference"
    with np.load(source / "oracle.npz") as arrays:
        others = {name for name in arrays if name not in oracle}
        assert others == {"ae_x", "ae_z", "ae_y"}
        for name, ours in oracle.items():
            np.testing.assert_array_equal(ours.numpy(), arrays[name], strict=True)
    for name, ours in NETWORK.items():
        assert ours.read_bytes() == (source / name).read_bytes()
