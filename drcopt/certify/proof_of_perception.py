"""Proof files about the least divergence of Y's law from a target.

The evidence says that what another question minimises exceeds its budget wherever the law lies in a ball; its
half-spaces, with their weight on the divergence, say how far the law must be.
"""

from __future__ import annotations

import math
import os
from typing import Any, Protocol

from drcopt.certify.proof import (
    EDGE_ROOM,
    ROOM,
    Evident,
    Writer,
    best,
    contents,
    formulation_limits,
    number,
    points,
    write,
)
from drcopt.questions import PERCEPTION


class PerceptionCertificate(Evident, Protocol):
    """What such a proof is written from: see :class:`drcopt.least_perception.PerceptionCertificate`."""

    @property
    def limit(self) -> float: ...


def save(certificate: PerceptionCertificate, path: str | os.PathLike[str]) -> None:
    """Write a proof file, whole or not at all; see :func:`drcopt.certify.proof.save`."""
    write(to_dict(certificate), path)


def to_dict(certificate: PerceptionCertificate) -> dict[str, Any]:
    """The contents of a proof file."""
    question, limit = certificate.formulation, certificate.limit
    found, least = best(certificate, question)
    writer = Writer(question, max(limit, least - EDGE_ROOM))
    if math.isfinite(certificate.lower):
        writer.limit, writer.unsaid = limit, 0.0  # the file is about perception
    evidence = writer.evidence(found)
    limits = formulation_limits(question)
    own = ("distortion_budget", "rate_budget", "classification_budget")[question.objective.place]
    limits[own] = limit
    if math.isinf(certificate.lower):
        return contents(question, limits, question.objective, {"infeasible": True}, None, evidence)
    limits.pop("perception_budget", None)
    parts = None if certificate.parts is None else points(question, certificate.parts)
    room = ROOM * max(1.0, abs(certificate.lower))
    claim = {
        "lower": number(min(certificate.lower, max(0.0, writer.farther)) - room),
        "upper": number(certificate.upper + room),
    }
    return contents(question, limits, PERCEPTION, claim, parts, evidence)
