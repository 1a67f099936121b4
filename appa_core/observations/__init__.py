"""Tables of observations: what they hold, where they come from in experiments, which are used."""
