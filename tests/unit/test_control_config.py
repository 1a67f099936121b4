"""Controls as configurations: what ships, what is refused, black-lists in files."""

import typing
from dataclasses import fields

import pytest
import yaml

from appa_core.config import control as config
from appa_core.config.build_control import build_control
from appa_core.config.control import ControlConfig, control_names, load_control
from appa_core.errors import DataError, InputError
from appa_core.observations.control.check import Evidence
from appa_core.steps.control import control_table, with_lists_read
from tests.observed import reasons, table


def written(path, *checks):
    path.write_text(yaml.safe_dump({"checks": list(checks)}))
    return load_control(str(path))


def test_controls_that_ship_can_be_built():
    assert {"default", "thinned"} <= set(control_names())
    for name in control_names():
        checks = build_control(load_control(name)).checks
        assert [type(c).__name__ for c in checks][:2] == ["FileFlags", "PhysicalRange"]
    default, thinned = (load_control(name).checks for name in ("default", "thinned"))
    assert thinned[: len(default)] == default


def test_settings_and_checks_have_the_same_defaults():
    union, _ = typing.get_args(config.CheckConfig)
    for kind in typing.get_args(union):
        name = kind.model_fields["kind"].annotation.__args__[0]
        needed = {"quantities": ["2m_temperature", "surface_pressure"]} if name == "one-of" else {}
        settings = ControlConfig(checks=[{"kind": name, **needed}])
        (built,) = build_control(settings).checks
        again = type(built)(**({"quantities": built.quantities} if needed else {}))
        for field in fields(built):
            assert getattr(built, field.name) == getattr(again, field.name), (name, field.name)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"kind": "guess"}, "kind"),
        ({"kind": "physical-range", "limits": {"snow": [0, 1]}}, "unknown quantity 'snow'"),
        ({"kind": "buddies", "level_ratio": 0.5}, "level_ratio"),
        ({"kind": "one-of", "quantities": ["2m_temperature"]}, "quantities"),
        ({"kind": "thinning", "boxes": {"miles": 3}}, "miles"),
        ({"kind": "climatological-range", "limit": -1}, "limit"),
    ],
)
def test_settings_that_are_refused(tmp_path, check, message):
    with pytest.raises(InputError, match=message):
        written(tmp_path / "a.yaml", check)


def test_an_unknown_control():
    with pytest.raises(
        InputError, match="unknown control 'strict'; controls are: default, thinned"
    ):
        load_control("strict")


def test_an_order_that_cannot_be(tmp_path):
    settings = written(
        tmp_path / "a.yaml", {"kind": "superobbing"}, {"kind": "background-departure"}
    )
    with pytest.raises(InputError, match="put superobbing after it"):
        build_control(settings)


def test_black_lists_in_files(tmp_path):
    (tmp_path / "list.yaml").write_text("- {station_id: '72520', why: relocated}\n")
    (tmp_path / "list.csv").write_text("station_id,platform,quantity,why\n,ship,,\nB,,,\n")
    settings = written(
        tmp_path / "a.yaml",
        {"kind": "black-list", "file": str(tmp_path / "list.yaml")},
        {"kind": "black-list", "file": str(tmp_path / "list.csv"),
         "listings": [{"station_id": "C"}]},
    )  # fmt: skip
    rows = table(
        {"station_id": "72520"}, {"platform": "ship"}, {"station_id": "B"}, {"station_id": "C"}, {}
    )
    found, left_out = control_table(rows, settings, Evidence())
    assert reasons(found) == [
        "black-list: relocated",
        "black-list",
        "black-list",
        "black-list",
        "",
    ]
    assert left_out == ()
    with pytest.raises(InputError, match="has not been read"):
        build_control(settings)
    # what is hashed is what the file says, not where it lies
    assert "tmp" not in str(with_lists_read(settings).hashed())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("station_id: A", "must be a list of mappings"),
        ("- {station: A}", r"black-list .*station: Extra inputs"),
        ("- {a: [", "no valid YAML"),
    ],
)
def test_files_that_are_no_black_lists(tmp_path, text, message):
    (tmp_path / "list.yaml").write_text(text)
    settings = ControlConfig(checks=[{"kind": "black-list", "file": str(tmp_path / "list.yaml")}])
    with pytest.raises(InputError, match=message):
        with_lists_read(settings)
    absent = ControlConfig(checks=[{"kind": "black-list", "file": str(tmp_path / "none.yaml")}])
    with pytest.raises((InputError, DataError), match=r"no file at .*none\.yaml"):
        with_lists_read(absent)


def test_checks_that_need_a_model_are_left_out_without_one():
    rows = table({"value": 999.0}, {})
    found, left_out = control_table(rows, load_control("default"), Evidence())
    assert reasons(found) == ["physical range", ""]
    assert left_out == ("climatological-range", "background-departure")
