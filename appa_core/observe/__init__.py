"""What instruments read of a trajectory."""
