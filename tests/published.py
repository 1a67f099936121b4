"""Folders as the authors of the published system lay them out."""

import json

import torch
import yaml

from appa_core.config.presets import Preset, load_preset

AE = {
    "in_channels": 6,
    "lat_channels": 8,
    "shape": [33, 64],
    "resize": 8,
    "saturation": "softclip2",
    "saturation_bound": 5.0,
    "noise_level": 0.0,
    "hid_channels": [16, 24, 32, 40],
    "hid_blocks": [1, 1, 1, 2],
    "pixel_shuffle": True,
    "ffn_factor": 1,
    "dropout": 0.0,
    "patch_size": [1, 1],
    "checkpointing": False,
    "identity_init": True,
}
BACKBONE = {
    "blanket_size": 4,
    "mod_features": 32,
    "hid_channels": 64,
    "hid_blocks": 3,
    "ffn_factor": 2,
    "attention_heads": 4,
    "qk_norm": True,
    "rope": True,
    "patch_size": [2, 1, 1],
    "window_size": None,
    "dropout": 0.0,
    "checkpointing": False,
}


def base_preset():
    """A preset of six channels on 33 x 64 cells."""
    content = load_preset("tiny").hashed()
    content["state"] |= {
        "surface": ["2m_temperature"],
        "upper_air": ["temperature"],
        "levels_hpa": [200, 300, 500, 700, 850],
        "latitudes": 33,
        "poles": True,
    }
    content["autoencoder"] = {
        "kind": "convolutional",
        "latent_channels": 8,
        "hidden_channels": [8, 8, 8, 8],
        "hidden_blocks": [1, 1, 1, 1],
        "training": content["autoencoder"]["training"],
    }
    content["sampling"]["known_states"] = 1
    return Preset.model_validate(content | {"name": "six-fields"})


def write_published(root, ae_weights, denoiser_weights, *, ae=AE, backbone=BACKBONE):
    """Two folders and a file of latent statistics; returns their paths."""
    (root / "ae").mkdir(parents=True)
    (root / "denoiser").mkdir()
    (root / "ae" / "config.yaml").write_text(yaml.safe_dump({"ae": ae}))
    (root / "denoiser" / "config.yaml").write_text(
        yaml.safe_dump({"backbone": backbone, "train": {"steps": 3}})
    )
    torch.save(ae_weights, root / "ae" / "model.pth")
    torch.save(denoiser_weights, root / "denoiser" / "model_best.pth")
    c = ae["lat_channels"]
    stats = {"mean": torch.arange(c).float()[:, None, None], "std": torch.ones(c, 1, 1) * 2}
    torch.save(stats, root / "stats.pth")
    return root / "ae", root / "denoiser", root / "stats.pth"


def same_configuration(folder):
    """Whether the reference's configuration is the one written here."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    return config["autoencoder"] == AE and config["denoiser"] == BACKBONE
