"""The Bernoulli source with a class seen through a binary symmetric channel."""

from __future__ import annotations

from drcopt.problem import Problem
from drcopt.sources._arguments import number

__all__ = ["bernoulli"]


def bernoulli(px: float = 0.3, py: float = 0.25, p1: float = 0.2) -> Problem:
    """X ~ Bern(px), Y ~ Bern(py), S = X ⊕ S₁ with S₁ ~ Bern(p1) independent of X; Hamming distortion.

    Parameters
    ----------
    px, py, p1 : float
        P(X = 1), P(Y = 1) and P(S ≠ X), each in [0, 1]. The defaults are the worked example of [1]_.

    Returns
    -------
    Problem
        Two letters each for X, Y and S, in the order 0, 1.

    Raises
    ------
    InputError
        If a probability is not in [0, 1].

    References
    ----------
    .. [1] Nguyen, Nguyen, Bose, "Cross-Domain Lossy Compression via Rate- and Classification-Constrained
       Optimal Transport", ICLR 2026: Theorem 2 and the Bernoulli case study of the talk.

    Examples
    --------
    >>> bernoulli()
    Problem(n=2, m=2, k=2, H(X)=0.8813 bits, H(Y)=0.8113 bits, H(S)=0.9580 bits, max d=1)
    >>> bernoulli(p1=0.0).ps_given_x
    array([[1., 0.],
           [0., 1.]])
    """
    px, py, p1 = (number(name, p, 0, 1, ends=True) for name, p in (("px", px), ("py", py), ("p1", p1)))
    return Problem([1 - px, px], [1 - py, py], [[1 - p1, p1], [p1, 1 - p1]], "hamming")
