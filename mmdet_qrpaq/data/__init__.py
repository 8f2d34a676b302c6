"""Fits a config to a folder of images: what it decides, and the config it writes."""
