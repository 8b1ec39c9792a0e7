"""The components of a mixture as a Solution shows them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from drcopt import information, words
from drcopt.formulations import Decided, Part, Question
from drcopt.problem import Problem
from drcopt.solution import Component, Mixture


def mixture(problem: Problem, question: Question, parts: tuple[Part, ...], units: words.Units) -> Mixture:
    """The parts of a point, on letters with mass, as components on all letters of ``problem``."""
    support = problem.support

    def unit(nats: float) -> float:
        return information.from_nats(nats, units)

    components = []
    for part in parts:
        full_map = None
        if part.map is not None:
            full_map = np.full(problem.n, support.y[part.map[0]], dtype=np.intp)
            full_map[support.x] = support.y[part.map]
        alone = [Part(1.0, part.coupling, part.map)]
        single = replace(question, classification_budget=math.inf)
        loss = single.classification_loss(alone)
        components.append(
            Component(
                weight=part.weight,
                coupling=support.restore(part.coupling),
                map=full_map,
                distortion=question.problem.distortion(part.coupling),
                rate=unit(single.rate(alone)),
                classification_loss=loss if isinstance(question, Decided) else unit(loss),  # of decisions in its own
            )
        )
    return Mixture(tuple(components))
