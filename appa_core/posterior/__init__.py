"""Drawing trajectories given observations: one task, many methods."""
