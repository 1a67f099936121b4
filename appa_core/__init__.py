"""Appa: global atmospheric data assimilation with latent diffusion; no orchestration here."""
