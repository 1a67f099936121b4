"""Steps: inputs in stores become one artifact, once."""
