"""Training networks on one process or many, with a state that can be continued bit by bit."""
