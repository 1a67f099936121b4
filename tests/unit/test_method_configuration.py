"""One configuration selects any method, and one call draws with it."""

from itertools import product

import pytest
import torch
import yaml
from pydantic import TypeAdapter

from appa_core.config.build_method import build_method
from appa_core.config.methods import MethodConfig
from appa_core.config.named import parse_named
from appa_core.errors import InputError
from appa_core.posterior.task import draw_posterior
from benchmarks.closed_forms import ar1

ADAPTER = TypeAdapter(MethodConfig)
SCHEDULES = [{"kind": kind} for kind in ("rectified", "log-linear", "log-logit", "cosine")]
SAMPLERS = [
    {"kind": "ddpm"},
    {"kind": "ddim"},
    {"kind": "ddim", "eta": 0.5},
    {"kind": "heun"},
    *({"kind": "adams-bashforth", "order": order} for order in (1, 2, 3, 4)),
    *({"kind": "dpm-solver++", "order": order} for order in (1, 2)),
    {"kind": "predictor-corrector"},
]
GUIDANCE = [
    *(
        {"kind": "mmps", "solver": solver, "covariance": covariance}
        for solver, covariance in product(("cg", "minres", "gmres"), ("tweedie", "scalar"))
    ),
    {"kind": "pigdm"},
    {"kind": "sda"},
    {"kind": "dps", "zeta": 0.1},
    {"kind": "repaint"},
]
LAYOUTS = [
    *({"kind": "fold", "fold": fold} for fold in ("symmetrical", "causal", "average")),
    {"kind": "fold", "stride": 1},
    *({"kind": "chain", "known": 1, "order": order} for order in ("forward", "backward")),
]
USUAL = {
    "kind": "diffusion",
    "schedule": SCHEDULES[2],
    "sampler": {"kind": "dpm-solver++"},
    "steps": 4,
    "guidance": {"kind": "mmps"},
    "layout": {"kind": "fold"},
}
PARTS = {"schedule": SCHEDULES, "sampler": SAMPLERS, "guidance": GUIDANCE, "layout": LAYOUTS}
CHANGES = [{name: part} for name, parts in PARTS.items() for part in parts] + [{"sweeps": 2}]
OTHERS = [
    {"kind": "twisted-particles", "steps": 4, "particles": 3},
    *({"kind": kind} for kind in ("latent-3dvar", "latent-4dvar", "4dvar")),
    *({"kind": "es-mda", "steps": 4, "sampler": {"kind": kind}} for kind in ("ddim", "heun")),
]


def drawn(configuration, blanket):
    """Five members, by the text of a file."""
    config = parse_named("method", yaml.safe_dump(configuration), ADAPTER, source="here")
    assert ADAPTER.validate_python(config.model_dump(mode="json")) == config
    task = ar1(8).task(5, blanket, background=True)
    return draw_posterior(task, build_method(config, task.blanket_states))


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_every_part_of_guided_diffusion_can_be_selected(changes):
    x = drawn(USUAL | changes, blanket=4)
    assert x.shape == (5, 8)
    assert torch.isfinite(x).all()
    assert len(x.unique(dim=0)) == 5


@pytest.mark.parametrize("configuration", OTHERS, ids=str)
def test_every_other_method_can_be_selected(configuration):
    blanket = None if configuration["kind"] == "twisted-particles" else 4
    x = drawn(configuration, blanket)
    assert x.shape == (5, 8)
    assert torch.isfinite(x).all()
    assert len(x.unique(dim=0)) == 5


def offered_kinds():
    """Values of `kind` anywhere in the union."""
    found = set()
    for part in ADAPTER.json_schema()["$defs"].values():
        kind = part.get("properties", {}).get("kind", {})
        found |= set(kind.get("enum", [])) | ({kind["const"]} if "const" in kind else set())
    return found


def test_these_are_all():
    """A kind that is added to the union is to be added here too."""
    tried = {part["kind"] for parts in PARTS.values() for part in parts}
    tried |= {configuration["kind"] for configuration in OTHERS} | {"diffusion"}
    tried |= {"optimal-interpolation"}  # of states, not of an AR(1): test_optimal_interpolation.py
    assert offered_kinds() == tried


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "diffuse"}, "does not match any of the expected tags"),
        ({"sampler": {"kind": "euler"}}, "does not match any of the expected tags"),
        ({"guidance": {"kind": "mmps", "solver": "lu"}}, "guidance.mmps.solver: Input should be"),
        ({"guidance": {"kind": "sda", "zeta": 1}}, "guidance.sda.zeta: Extra inputs"),
        ({"steps": 0}, "steps: Input should be greater than 0"),
    ],
)
def test_what_is_misspelt_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        drawn(USUAL | changes, blanket=4)
