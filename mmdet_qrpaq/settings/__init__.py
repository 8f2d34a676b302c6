"""Settings of a run: how they are written as options, and which go together."""
