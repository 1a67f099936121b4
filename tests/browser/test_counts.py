"""What the page computes of its fields itself, against numpy."""

import numpy as np
import pytest

from appa_core.metrics.members import variances
from appa_core.schema import Channel, Grid
from tests.finished import CHANNELS, ensemble

pytestmark = pytest.mark.browser


def test_maps_show_the_values_that_went_in(visit):
    """What the page unpacked, against the fields, to half a step of the packing."""
    page = visit("whole")
    found = page.evaluate(
        """() => {
          const { block, mean, spread, error, truth } = Data.channel(0);
          const take = (a) => Array.from(a.subarray(0, Data.points));
          return { step: block.step, mean: take(mean), spread: take(spread), error: take(error),
                   truth: take(truth) };
        }"""
    )
    place = CHANNELS.index(Channel("geopotential", 500))
    own, other = (
        ensemble(Grid.equiangular(12, 24), seed=s)[:, 0, place].reshape(3, -1) / 9.80665
        for s in (0, 1)
    )
    np.testing.assert_allclose(found["mean"], own.mean(0), atol=found["step"])
    np.testing.assert_allclose(found["spread"], own.std(0, ddof=1), atol=2 * found["step"])
    np.testing.assert_allclose(found["truth"], other[0], atol=found["step"])
    np.testing.assert_allclose(found["error"], own.mean(0) - other[0], atol=2 * found["step"])


def held(page):
    """What the page holds of its first field at its first time: members (M, N), other arrays."""
    found = page.evaluate(
        """() => {
          const { members } = Data.channel(0).block;
          const take = (kind) => Array.from(Data.field(0, kind, 0));
          return { members: Array.from({ length: members }, (_, m) => take(m)),
                   mean: take("mean"), spread: take("spread"), truth: take("truth") };
        }"""
    )
    return {name: np.asarray(values) for name, values in found.items()}


def counted(page):
    """What the page counts of them."""
    return page.evaluate(
        """() => {
          const state = { channel: 0, lead: 0, threshold: 5000, above: true };
          return { ranks: Counts.ranks(state), reliability: Counts.reliability(state) };
        }"""
    )


def ranks_by_area(page, members, truth):
    weights = np.repeat(page.evaluate("Data.report.areaWeights"), 24)
    below, ties = (members < truth).sum(0), (members == truth).sum(0)
    expected = np.zeros(len(members) + 1)
    for b, t, w in zip(below, ties, weights, strict=True):
        expected[b : b + t + 1] += w / (t + 1)
    return expected


def test_ranks_of_the_page_agree_with_numpy(visit):
    """Without an evaluation: counts by area, ties shared."""
    page = visit("whole")
    fields = held(page)
    expected = ranks_by_area(page, fields["members"], fields["truth"])
    np.testing.assert_allclose(counted(page)["ranks"], expected, rtol=1e-6)


def test_spread_and_ranks_of_pairs_agree_with_numpy(visit):
    page = visit("pairs")
    fields = held(page)
    members, truth = fields["members"], fields["truth"]
    assert len(members) == 6
    expected = np.sqrt(variances(members, paired=True).member)
    np.testing.assert_allclose(fields["spread"], expected, rtol=1e-5)
    np.testing.assert_allclose(fields["mean"], members.mean(0), rtol=1e-6)
    assert np.abs(fields["spread"] / members.std(0, ddof=1) - 1).max() > 0.1
    # one of each pair is ranked, all six are counted by events
    found = counted(page)
    np.testing.assert_allclose(found["ranks"], ranks_by_area(page, members[::2], truth), rtol=1e-6)
    chances = [b["forecast_probability"] for b in found["reliability"]]
    np.testing.assert_allclose(chances, np.arange(7) / 6)
    np.testing.assert_allclose(
        [b["count"] for b in found["reliability"]],
        np.bincount(
            (members > 5000).sum(0),
            np.repeat(page.evaluate("Data.report.areaWeights"), 24),
            minlength=7,
        ),
        rtol=1e-6,
    )


def test_a_page_says_where_members_are_pairs(visit):
    page = visit("pairs")
    assert "pairs drawn from opposite noise" in page.inner_text("#members-note")
    assert "among 3 members, one of each pair" in page.inner_text("#ranks")
    assert page.locator("#ranks rect.bars").count() == 4
    alone = visit("whole")
    assert alone.locator("#members-note").count() == 0
    assert "among 3 members" in alone.inner_text("#ranks")
    assert "pair" not in alone.inner_text("#ranks")
