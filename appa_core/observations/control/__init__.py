"""Quality control of observations: checks, and the order that they are made in."""
