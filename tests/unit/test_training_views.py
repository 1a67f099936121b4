"""What is shown of a training: event files, figures, fields beside the truth."""

import dataclasses
import re
import struct
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from appa_core.io.cube import Cube
from appa_core.metrics.spectra import power_spectrum
from appa_core.report.figures import loss_curve, maps, spectra
from appa_core.report.units import display_of
from appa_core.steps import diagnose
from appa_core.steps.coder import RegisteredCoder
from appa_core.steps.training import Progress
from tasks import showing
from tasks.training_log import shown
from tests.synthetic import tiny_preset

FIRST = Progress(
    iteration=5, total=8, loss=0.5, norm=1.5, rate=0.25, samples_per_second=12.0, scores={}
)


def events(folder):
    """Events of the files in a folder: records of length, checksum, content, checksum."""
    for path in sorted(folder.glob("events.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            yield Event.FromString(content[at + 12 : at + 12 + size])
            at += 16 + size


def test_tensorboard_reads_what_is_logged(tmp_path, capfd):
    with shown("demo", tmp_path) as show:
        show(FIRST)
        show(dataclasses.replace(FIRST, iteration=6, loss=0.25, scores={"h6": 0.75}))
    found = {
        (value.tag, event.step): value.simple_value
        for event in events(tmp_path)
        for value in event.summary.value
    }
    assert found["train/loss", 5] == 0.5
    assert found["train/loss", 6] == 0.25
    assert found["train/gradient_norm", 5] == 1.5
    assert found["train/rate_share", 5] == 0.25
    assert found["train/samples_per_second", 6] == 12.0
    assert found["validation/h6", 6] == 0.75
    bar = capfd.readouterr().err.split("\r")[-1]
    # done, time that it took and time left, loss, speed
    assert re.search(r"demo: +75%.* 6/8 \[\d+:\d+<\d+:\d+, .*loss=0\.2500, samples/s=12", bar)


def test_the_curve_is_redrawn_at_validations_but_not_all_the_time(monkeypatch):
    pages, clock = [], iter([0.0, 0.0, 30.0, 61.0, 61.0])
    monkeypatch.setattr(showing, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(
        showing, "create_markdown_artifact", lambda page, key, **_: pages.append(f"{key}\n{page}")
    )
    curve = showing.LiveCurve("denoiser of demo", seconds=60)
    for iteration, scores in ((5, {}), (6, {"h6": 0.75}), (7, {"h6": 0.5}), (8, {"h6": 0.25})):
        curve(dataclasses.replace(FIRST, iteration=iteration, scores=scores))
    first, second = pages
    assert "training-denoiser-of-demo" in first
    assert "| h6 | 0.7500 |" in first
    assert "8 of 8 iterations" in second
    assert "| h6 | 0.2500 |" in second
    assert "data:image/png;base64," in second


def test_a_server_that_is_away_does_not_end_a_training(monkeypatch, caplog):
    def fail(*_, **__):
        raise httpx.ConnectError("nobody answers")

    monkeypatch.setattr(showing, "create_markdown_artifact", fail)
    showing.LiveCurve("denoiser of demo")(dataclasses.replace(FIRST, scores={"h6": 1.0}))
    assert "nobody answers" in caplog.text


def test_a_continued_training_purges_what_comes_after_its_checkpoint(tmp_path):
    for iteration in (5, 3):
        with shown("demo", tmp_path) as show:
            show(dataclasses.replace(FIRST, iteration=iteration))
    starts = {e.step for e in events(tmp_path) if e.HasField("session_log")}
    assert starts == {5, 3}


def test_reconstructions_lie_beside_the_states_they_are_of(tiny_world):
    preset, states = tiny_preset(), Cube.load(tiny_world.states)
    coder = RegisteredCoder.of(tiny_world.model).load("cpu")
    seen = diagnose.diagnose_autoencoder(preset, coder, states)
    schema = preset.state.build()
    times = diagnose.held_out_times(preset)
    assert [c.short for c in seen.channels] == ["T2m", "T850", "U850", "Z500"]
    for i, channel in enumerate(seen.channels):
        values = states.read(times)[channel.variable]
        values = values if channel.level is None else values.sel(level=channel.level)
        np.testing.assert_array_equal(seen.truth[:, i], values)
        power = power_spectrum(values.values.astype(float), schema.grid).mean(axis=0)
        np.testing.assert_allclose(seen.truth_power[i], power, rtol=1e-4, atol=1e-9 * power.max())
        # what was learned in seconds is nearer to the truth than other states are
        error = np.square(seen.made[:, i] - seen.truth[:, i]).mean()
        others = np.square(seen.truth[:, i] - seen.truth[::-1, i]).mean()
        assert error < others


def test_samples_lie_beside_the_states_that_came(tiny_world):
    preset, states = tiny_preset(), Cube.load(tiny_world.states)
    seen = diagnose.diagnose_denoiser(tiny_world.store, tiny_world.model, preset, states)
    assert seen.title == "Samples at 24 h"
    assert seen.made.shape == seen.truth.shape == (8, 4, 32, 64)
    assert not np.array_equal(seen.made[0], seen.made[1])  # two members of one start
    np.testing.assert_array_equal(seen.truth[0], seen.truth[1])
    assert np.isfinite(seen.made).all()


def test_figures_show_what_they_are_given():
    losses = np.linspace(1.0, 0.1, 200)
    (axes,) = loss_curve(losses, "demo").axes
    each, mean = axes.lines
    np.testing.assert_array_equal(each.get_ydata(), losses)
    assert mean.get_ydata()[0] == pytest.approx(losses[:4].mean())
    assert (each.get_xdata()[0], mean.get_xdata()[0], mean.get_xdata()[-1]) == (1, 4, 200)
    (axes,) = loss_curve(losses, "demo", first=41).axes
    assert [line.get_xdata()[-1] for line in axes.lines] == [240, 240]
    rng = np.random.default_rng(0)
    made, truth = rng.uniform(1, 2, (2, 2, 9))
    for axes, own, other in zip(
        spectra(made, truth, ["A", "B"], "made").axes, made, truth, strict=True
    ):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), other[1:])
        np.testing.assert_array_equal(axes.lines[1].get_ydata(), own[1:])
    fields = rng.normal(280, 1, (2, 1, 8, 16))
    shown_maps = [a.images[0] for a in maps(*fields, ["T2m"], [display_of("K")]).axes[:3]]
    celsius = np.roll(fields[:, 0], 8, axis=-1) - 273.15
    np.testing.assert_allclose(shown_maps[0].get_array(), celsius[0])
    np.testing.assert_allclose(shown_maps[1].get_array(), celsius[1])
    np.testing.assert_allclose(shown_maps[2].get_array(), celsius[0] - celsius[1])
