"""Laws of scores by region: members in any order, any meridian, any pieces of the dates."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from appa_core.metrics.events import Event
from appa_core.metrics.multivariate import Lags
from appa_core.metrics.regions import region_of
from appa_core.metrics.scores import ensemble_scores
from appa_core.metrics.verification import Scoring, verify_ensemble
from appa_core.schema import Grid
from appa_core.steps.evaluation_scores import Pooling, score_table

GRID = Grid.equiangular(6, 8)
WEIGHTS = region_of(GRID)
SCORING = Scoring(Lags(1, 1, True))
EVENT = Event("e", np.asarray(0.2))
seeds = st.integers(0, 2**32 - 1)


def draw(seed, members, *, tied=False):
    rng = np.random.default_rng(seed)
    fields = rng.normal(size=(members + 2, *GRID.shape))
    return np.round(2 * fields) if tied else fields


def found(fields):
    ensemble, truth, base = fields[2:], fields[0], fields[1]
    sums = verify_ensemble(ensemble, truth, WEIGHTS, SCORING, base, [EVENT])
    return ensemble_scores(sums.means, len(ensemble)), sums


def assert_same(one, two):
    for name, values in one[0].items():
        np.testing.assert_allclose(two[0][name], values, rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(two[1].ranks, one[1].ranks, atol=1e-9)
    np.testing.assert_allclose(two[1].reliability["e"], one[1].reliability["e"], atol=1e-9)


@given(seeds, st.integers(2, 7), st.booleans())
@settings(max_examples=25)
def test_order_of_members_does_not_matter(seed, members, tied):
    fields = draw(seed, members, tied=tied)
    order = np.random.default_rng(seed).permutation(members)
    assert_same(found(fields), found(np.concatenate([fields[:2], fields[2:][order]])))


@given(seeds, st.integers(2, 5), st.integers(0, 7))
@settings(max_examples=25)
def test_choice_of_meridian_does_not_matter(seed, members, shift):
    fields = draw(seed, members)
    assert_same(found(fields), found(np.roll(fields, shift, axis=-1)))


@given(seeds, st.integers(2, 6))
@settings(max_examples=25)
def test_scores_obey_their_inequalities(seed, members):
    scores, sums = found(draw(seed, members))
    slack = 1e-9
    assert (scores["energy"] <= scores["energy_ensemble"] + slack).all()
    # the energy score of a field is no more than its error, and no less than that of its mean
    assert (scores["energy_ensemble"] <= sums.means["energy_error"] + slack).all()
    assert (scores["energy_ensemble"] >= 0).all()
    for name, values in scores.items():
        if name.startswith(("coverage", "brier")):
            assert ((values >= 0) & (values <= 1 + slack)).all()
    assert (np.abs(scores["acc"]) <= 1 + slack).all()


@given(seeds, st.lists(st.integers(0, 3), min_size=2, max_size=8))
@settings(max_examples=15)
def test_any_pieces_of_the_dates_give_one_table(seed, owners):
    """Bit for bit, bounds included."""
    rows = []
    for day, _ in enumerate(owners):
        time = pd.Timestamp("2024-01-01") + pd.Timedelta(days=5 * day)
        means = verify_ensemble(*_fields(seed + day), WEIGHTS, SCORING).means
        about = {
            "variable": "2m_temperature", "level": None, "init_time": time, "lead_hours": 6,
            "valid_time": time + pd.Timedelta(hours=6), "forecast": "ensemble",
        }  # fmt: skip
        rows += [
            about | {"region": name} | {k: float(v[i]) for k, v in means.items()}
            for i, name in enumerate(WEIGHTS.names)
        ]
    pooling = Pooling(4, False, 50, 0)
    table = pd.DataFrame(rows)
    order = np.random.default_rng(seed % 2**32).permutation(len(rows))
    parts = [
        table.iloc[[i for i in order if owners[i // len(WEIGHTS.names)] == p]] for p in range(4)
    ]
    shuffled = pd.concat([p for p in parts if len(p)], ignore_index=True)
    pd.testing.assert_frame_equal(score_table(shuffled, pooling), score_table(table, pooling))


def _fields(seed):
    fields = draw(seed % 2**32, 4)
    return fields[2:], fields[0]
