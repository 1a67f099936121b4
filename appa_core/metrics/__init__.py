"""Scores of forecasts: statistics that add over dates, and the metrics made from them."""
