import pytest
import torch

from appa_core.diffusion.schedule import RectifiedSchedule


def test_limits_and_middle():
    schedule = RectifiedSchedule(1e-3, 1e3)
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    sigma = schedule.sigma(t)
    assert sigma[0].item() == pytest.approx(1e-3)
    assert sigma[1].item() == pytest.approx((0.5 + 0.5e-3) / (0.5 * (1e-3 - 1) + 1))
    assert sigma[2].item() == pytest.approx(1e3)


def test_signal_to_noise_falls_with_time():
    sigma = RectifiedSchedule().sigma(torch.linspace(0, 1, 100, dtype=torch.float64))
    assert (sigma.diff() > 0).all()


def test_steps_descend_from_max_to_min():
    steps = RectifiedSchedule(0.01, 80.0).steps(10)
    assert steps.shape == (11,)
    assert steps[0].item() == pytest.approx(80.0)
    assert steps[-1].item() == pytest.approx(0.01)
    assert (steps.diff() < 0).all()


def test_reference_values(shared_data):
    import numpy as np

    oracle = np.load(shared_data / "vectors" / "appa_reference" / "oracle.npz")
    t = torch.linspace(0, 1, 17, dtype=torch.float64)
    expected = oracle["schedule_rectified"]
    # the reference computed in single precision, which loses some digits near t = 1
    np.testing.assert_allclose(RectifiedSchedule().sigma(t).numpy(), expected, rtol=2e-5)
