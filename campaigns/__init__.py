"""Trials that are too long for the tests: see campaigns/README.md."""
