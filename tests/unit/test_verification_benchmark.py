"""An evaluation in pieces finds what whole arrays in plain xarray do."""

import pytest

from benchmarks import verification, verification_plain


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("case")
    verification.write_case(verification.Case(days=2, members=5, rows=18), path)
    return path


def test_both_find_the_same_scores(folder, tmp_path, monkeypatch):
    # a chunk of states a piece, so that there is something to put together
    monkeypatch.setattr(verification, "BLOCK_BYTES", 1)
    pieces = verification.in_pieces(folder, tmp_path)
    plain = verification_plain.scores(folder, verification.EVENT)
    assert set(verification.COMPARED) <= set(plain["score"])
    assert len(list(tmp_path.glob("evaluation-fields/*"))) == 4
    keys = ["score", "variable", "region"]
    both = pieces.merge(plain, on=keys, suffixes=("", "_plain"))
    assert len(both) == len(plain) == len(verification.COMPARED) * 2 * 4 - 4
    assert both["value"].to_numpy() == pytest.approx(
        both["value_plain"].to_numpy(), rel=1e-4, abs=1e-5
    )


def test_a_score_that_one_side_lacks_is_no_agreement():
    row = {"score": "rmse", "variable": "2m_temperature", "region": "global", "value": 1.0}
    one = verification.Measured(1, 1, 1, 1, [row])
    other = verification.Measured(1, 1, 1, 1, [{**row, "value": 1.5}])
    assert verification.largest_difference(one, other) == pytest.approx(1 / 3)
    with pytest.raises(SystemExit, match="not the same scores"):
        verification.largest_difference(
            one, verification.Measured(1, 1, 1, 1, [row | {"region": "tropics"}])
        )
