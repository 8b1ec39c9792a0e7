"""The posteriors on X whose class posteriors lie in a box, {p ≥ 0, Σp = 1, l ≤ Wᵀp ≤ u}, by their vertices.

A box is cut face by face: what lies inside stays, and every edge that a face crosses gives a vertex. Two vertices may
be the ends of an edge if they share n − 2 active constraints; all such pairs are taken, so that none is missed where
several vertices nearly coincide. What is taken too much only makes a least value less: vertices that lie hardly outside
are kept, and faces are moved outwards by more than class posteriors are off by rounding, which where an edge all but
runs along its face is what decides how far it leads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Class posteriors within so much of a face lie on it, masses of so little are none; how far faces are moved outwards.
_ON, _NONE, _OUT = 1e-9, 1e-12, 1e-13
#: Entries of what is known of boxes; pairs of posteriors looked at together.
_ROOM, _PAIRS = 20_000_000, 10_000_000

#: Class, side (0: τ_s at least, 1: at most) and place.
Face = tuple[int, int, float]


@dataclass(frozen=True, eq=False)
class Corners:
    """Vertices p (N, n), their class posteriors τ (N, k), the entropies of these (N,), and which of the n + 2k
    constraints p ≥ 0, τ ≥ l, τ ≤ u hold with equality, (N, n + 2k) of 0 and 1."""

    p: FloatArray
    tau: FloatArray
    entropy: FloatArray
    on: FloatArray

    @classmethod
    def whole(cls, W: FloatArray) -> Corners:
        """Those of all posteriors: the letters."""
        n, k = W.shape
        on = np.hstack([1.0 - np.eye(n), np.zeros((n, 2 * k))])
        return cls(np.eye(n), W, -xlogy(W, W).sum(axis=1), on)

    def cut(self, W: FloatArray, face: Face) -> Corners:
        """Those of the part inside one more face, which replaces the one of that class and side."""
        (s, side, at), n = face, len(W)
        place = n + 2 * s + side
        gap = _OUT + (at - self.tau[:, s] if side else self.tau[:, s] - at)
        inside = gap >= -_ON
        first, last = np.flatnonzero(gap > 0.0), np.flatnonzero(~inside)
        turns = np.array_split(first, 1 + len(first) * len(last) // _PAIRS)
        pairs = [np.nonzero(self.on[some] @ self.on[last].T >= n - 2) for some in turns]
        i = np.concatenate([some[one] for some, (one, _) in zip(turns, pairs, strict=True)])
        j = last[np.concatenate([other for _, other in pairs])]
        share = (gap[i] / (gap[i] - gap[j]))[:, None]
        p = self.p[i] + share * (self.p[j] - self.p[i])
        on = self.on[i] * self.on[j]
        on[:, :n] = np.maximum(on[:, :n], p <= _NONE)
        on[:, place] = 1.0
        old = self.on[inside]
        old[:, place] = gap[inside] <= _ON
        tau = p @ W
        return Corners(
            np.concatenate([self.p[inside], p]),
            np.concatenate([self.tau[inside], tau]),
            np.concatenate([self.entropy[inside], -xlogy(tau, tau).sum(axis=1)]),
            np.concatenate([old, on]),
        )


class Known:
    """The corners of boxes met so far: the leaves of a tree share the boxes of all letters but a few.

    Where it was told how boxes were cut (:meth:`descends`) each is one cut of another; else one of that with all faces
    but its last.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[Face, ...], Corners] = {}
        self._from: dict[tuple[Face, ...], tuple[tuple[Face, ...], Face]] = {}
        self._room = _ROOM

    def descends(self, faces: tuple[Face, ...], face: Face) -> None:
        """A box with these faces, by class and side, is cut by one more, or by one that is tighter than its own."""
        s, side, at = face
        for own in faces:
            if own[:2] == (s, side) and not (at < own[2] if side else at > own[2]):
                return  # what was cut away does not come back
        cut = tuple(sorted([*(own for own in faces if own[:2] != (s, side)), face]))
        self._from.setdefault(cut, (faces, face))

    def corners(self, W: FloatArray, faces: tuple[Face, ...]) -> Corners:
        """Those of a box with these faces.

        Raises
        ------
        clock.TimeIsUp
            At the deadline.
        """
        if not faces:
            return Corners.whole(W)
        if faces in self._found:
            return self._found[faces]
        clock.check()
        parent, face = self._from.get(faces, (faces[:-1], faces[-1]))
        found = self.corners(W, parent).cut(W, face)
        if self._room >= found.on.size:
            self._room -= found.on.size
            self._found[faces] = found
        return found
