"""How fast and how exact, beside other tools in the same run: ``python -m benchmarks --help``."""
