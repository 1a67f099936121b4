"""Network building blocks that know nothing of weather."""
