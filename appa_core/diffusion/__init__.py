"""Diffusion: noise schedules, denoisers and samplers, for tensors of any meaning."""
