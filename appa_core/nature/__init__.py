"""The nature run: weather of a simulated atmosphere, to train and test on without downloads."""
