"""The components of a mixture as a Solution shows them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from drcopt import information, words
from drcopt.coordinates import Support
from drcopt.formulations import Decided, Part, Question
from drcopt.solution import Component, Mixture


def mixture(support: Support, question: Question, parts: tuple[Part, ...], units: words.Units) -> Mixture:
    """The parts of a point, on some letters (``support``), as components on all."""

    def unit(nats: float) -> float:
        return information.from_nats(nats, units)

    components = []
    for part in parts:
        full_map = None
        if part.map is not None:
            full_map = np.full(support.shape[0], support.y[part.map[0]], dtype=np.intp)
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
