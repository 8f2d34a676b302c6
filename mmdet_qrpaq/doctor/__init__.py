"""What is wrong with an installation, a config and its data."""
