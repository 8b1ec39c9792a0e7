"""The points that tests of sweeps ask for."""

import importlib
import math

from drcopt.problem import Problem

module = importlib.import_module("drcopt.sweep")  # drcopt.sweep itself is the function
sweep = module.sweep
PROBLEM = Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
RATES = [i / 8 for i in range(20)]
LOSSES = [math.inf, 0.5, 0.25]
