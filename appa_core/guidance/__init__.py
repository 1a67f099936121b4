"""Conditioning on observations, for tensors of any meaning."""
