"""Ratios against nginx and docker-registry, measured in the same run on the same machine."""
