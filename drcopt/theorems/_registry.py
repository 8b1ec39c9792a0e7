"""What a theorem is here, how a comparison is judged, and the registry of theorems."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from drcopt import words
from drcopt.errors import InputError
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS
from drcopt.solution import Solution
from drcopt.support import check

#: How computed and predicted are claimed to relate.

#: Values within this of each other agree, unless a theorem says otherwise; certified gaps are below 2e-6.
TOLERANCE = 1e-5

Interval = tuple[float, float]

#: A theorem: instances come from the generator, the simplest first; the int says how many random ones to try.
TheoremFunction = Callable[[np.random.Generator, int], Iterable[Any]]


@dataclass(frozen=True)
class Comparison:
    """One instance of a theorem: two certified intervals, and how they are claimed to relate.

    Attributes
    ----------
    computed, predicted : tuple of two floats
        What is certain of each number: [lower, upper]; inf stands for "infeasible".
    instance : str
        Everything needed to repeat it.
    relation : {"==", "<=", ">="}
        The claim: ``computed relation predicted``.
    condition : bool or None
        Whether the theorem's stated condition is met; None where it has none.
    certificate : str
        Why ``computed`` may be believed.

    Examples
    --------
    >>> compare(0.5, (0.4, 0.6), "an instance").least_deviation
    0.0
    """

    computed: Interval
    predicted: Interval
    instance: str
    relation: words.Relation
    condition: bool | None
    certificate: str

    @property
    def least_deviation(self) -> float:
        """The claim is off by at least this much, whatever the true values in the intervals."""
        return self._deviation(self.computed[0], self.computed[1], self.predicted[1], self.predicted[0])

    @property
    def greatest_deviation(self) -> float:
        """The claim is off by at most this much."""
        return self._deviation(self.computed[1], self.computed[0], self.predicted[0], self.predicted[1])

    def _deviation(self, c_over: float, c_under: float, p_under: float, p_over: float) -> float:
        over, under = _minus(c_over, p_under), _minus(p_over, c_under)
        wrong = {"==": (over, under), "<=": (over,), ">=": (under,)}[self.relation]
        return max(0.0, *wrong)

    def verdict(self, tolerance: float) -> str:
        """ "holds", "fails" or "undecided": whether certainty goes either way.

        Parameters
        ----------
        tolerance : float
            Deviations up to it are none.

        Examples
        --------
        >>> compare(0.5, 0.7, "an instance").verdict(0.1)
        'fails'
        """
        if self.least_deviation > tolerance:
            return "fails"
        return "holds" if self.greatest_deviation <= tolerance else "undecided"


def compare(
    computed: Any,
    predicted: Any,
    instance: Any,
    *,
    relation: words.Relation = "==",
    condition: bool | None = None,
    proof: str = "",
) -> Comparison:
    """A comparison that a theorem yields.

    Parameters
    ----------
    computed, predicted : Solution, ClosedForm, float or (lower, upper)
        A solution counts as its certified interval [lower_bound, value], a number as exact.
    instance : str, Problem or mapping of names to values
        What was solved; printed if it is the counterexample.
    relation : {"==", "<=", ">="}
        The claim: ``computed relation predicted``.
    condition : bool, optional
        Whether the instance meets the condition that the theorem was registered with.
    proof : str, optional
        Why the computed value may be believed; default: what the solution says of itself.

    Raises
    ------
    InputError
        If a number is missing or an interval is empty.

    Examples
    --------
    >>> compare(0.5, 0.7, {"R": 1.0}, relation="<=").verdict(0.0)
    'holds'
    """
    check.choice("relation", relation, words.RELATIONS)
    return Comparison(
        computed=interval("computed", computed),
        predicted=interval("predicted", predicted),
        instance=describe(instance),
        relation=relation,
        condition=None if condition is None else bool(condition),
        certificate=proof or certificate(computed),
    )


def interval(name: str, value: Any) -> Interval:
    """What is certain of a value: [lower_bound, value] of a solution, a number twice, an interval itself."""
    if isinstance(value, Solution):
        # Without a point that meets the budgets the optimum is anywhere above the bound; with neither, anywhere.
        low = -math.inf if math.isnan(value.lower_bound) else value.lower_bound
        return low, math.inf if math.isnan(value.value) or value.excess > 0 else value.value
    try:
        low, high = (float(end) for end in value) if isinstance(value, tuple) else (float(value), float(value))
    except (TypeError, ValueError):
        raise InputError(
            f"{name} must be a Solution, a number or (lower, upper); it is {value!r}. Yield one of these."
        ) from None
    if not low <= high:
        raise InputError(f"{name} must be a number or lower ≤ upper; it is {value!r}. Yield such an interval.")
    return low, high


def mean(first: Any, second: Any) -> Interval:
    """The interval of the mean of two values."""
    ends = interval("first", first), interval("second", second)
    return (ends[0][0] + ends[1][0]) / 2, (ends[0][1] + ends[1][1]) / 2


def certificate(computed: Any) -> str:
    """Why a computed value may be believed, in a few words."""
    if not isinstance(computed, Solution):
        return "exact argument"
    if computed.status == "infeasible":
        least = computed.certificate.least(CLASSIFICATION_LOSS)
        proved = f": classification loss ≥ {least / math.log(2.0):.6g} bits" if math.isfinite(least) else ""
        return f"{computed.formulation}, infeasible (proved{proved})"
    if computed.status == "optimal":
        return f"{computed.formulation}, optimal: engine {computed.engine}, recomputed bounds"
    return f"{computed.formulation}, {computed.status}: {' '.join(computed.termination.split())}"


@dataclass(frozen=True)
class Theorem:
    """A registered theorem; the fields are the keywords of :func:`theorem`."""

    name: str
    statement: str
    where: str
    definition: str
    condition: str
    corrected: str
    tolerance: float
    function: TheoremFunction

    def comparisons(self, seed: int, instances: int) -> Iterator[Comparison]:
        """Try it. The instances depend on the seed and the name only, not on which other theorems are tried."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        for item in self.function(rng, instances):
            if isinstance(item, Comparison):
                yield item
            elif isinstance(item, tuple) and len(item) == 3:
                yield compare(*item)
            else:
                raise InputError(
                    f"theorem {self.name!r} must yield (computed, predicted, instance) or theorems.compare(...); "
                    f"it yielded {item!r}. Yield one of these."
                )


#: Name → theorem, in the order of registration.
THEOREMS: dict[str, Theorem] = {}


def theorem(
    *,
    name: str,
    statement: str,
    where: str,
    definition: str = "",
    condition: str = "",
    corrected: str = "",
    tolerance: float = TOLERANCE,
) -> Callable[[TheoremFunction], TheoremFunction]:
    """Register a theorem, so that :func:`validate` tries it.

    The decorated function takes a seeded generator and the number of random instances wanted, and yields
    ``(computed, predicted, instance)`` or :func:`compare` for each, the simplest instances first: the first that
    fails is the counterexample that is shown.

    Parameters
    ----------
    name : str
        Under which :func:`validate` and ``drcopt validate`` know it.
    statement : str
        The claim, as printed.
    where : str
        Where it is printed.
    definition : str
        The reading under which it is tried: which loss, which units.
    condition : str
        If the claim fails in general but holds on the instances with ``condition=True``, the verdict is
        "holds under: " and this.
    corrected : str
        What is true instead.
    tolerance : float
        Largest deviation that counts as agreement; above the gaps of the solutions compared.

    Raises
    ------
    InputError
        If the name is taken by another function.

    Examples
    --------
    >>> import drcopt
    >>> from drcopt import theorems
    >>> @theorems.theorem(
    ...     name="my-zero-rate",
    ...     statement="D(R = 0) = min_y E d(X, y)",
    ...     where="my notes, eq. (3)",
    ...     corrected="D(R = 0) = E d(X, Y) of independent X and Y: the marginal of Y is given.",
    ... )
    ... def my_zero_rate(rng, instances):
    ...     for problem in (theorems.random_problem(rng, 2, 2, 2) for _ in range(instances)):
    ...         yield drcopt.solve(problem, R=0.0), (problem.px @ problem.d).min(), problem
    >>> verdicts = theorems.validate("my-zero-rate", instances=3)
    >>> verdicts["verdict"].item(), verdicts["tried"].item()
    ('fails', '3 instances (seed 0): 0 hold, 3 fail, 0 undecided')
    >>> theorems.forget("my-zero-rate")
    """
    check.positive("tolerance", tolerance)

    def register(function: TheoremFunction) -> TheoremFunction:
        known = THEOREMS.get(name)
        # The same function again is a notebook cell that is run again.
        if known is not None and _origin(known.function) != _origin(function):
            raise InputError(
                f"name must be new; there is a theorem {name!r} already. Choose another name, or call theorems.forget."
            )
        THEOREMS[name] = Theorem(name, statement, where, definition, condition, corrected, tolerance, function)
        return function

    return register


def forget(name: str) -> None:
    """Remove a theorem from the registry.

    Parameters
    ----------
    name : str
        As it was registered.

    Examples
    --------
    >>> @theorem(name="mine", statement="1 = 1", where="here")
    ... def mine(rng, instances):
    ...     yield compare(1.0, 1.0, "one")
    >>> forget("mine")
    >>> "mine" in names()
    False
    """
    select(name)
    del THEOREMS[name]


def names() -> tuple[str, ...]:
    """The registered theorems.

    Examples
    --------
    >>> import drcopt
    >>> "bernoulli-exact-sees-yu" in drcopt.theorems.names()
    True
    """
    return tuple(THEOREMS)


def select(wanted: str | Iterable[str] | None = None) -> list[Theorem]:
    """The theorems of these names or patterns (``bernoulli-*``), in the order of registration; None: all.

    Parameters
    ----------
    wanted : str, sequence of str or None
        Names or patterns; None: all.

    Examples
    --------
    >>> import drcopt
    >>> [known.name for known in drcopt.theorems.select("bernoulli-exact-*")][:1]
    ['bernoulli-exact-sees-yu']
    """
    if wanted is None:
        return list(THEOREMS.values())
    chosen: set[str] = set()
    for pattern in [wanted] if isinstance(wanted, str) else wanted:
        matching = {name for name in THEOREMS if fnmatchcase(name, str(pattern))}
        if not matching:
            raise InputError(
                f"names must be theorems or patterns that match some; {pattern!r} is none. "
                f"Known: {', '.join(THEOREMS)}."
            )
        chosen |= matching
    return [known for name, known in THEOREMS.items() if name in chosen]


def random_problem(rng: np.random.Generator, n: int = 3, m: int = 3, k: int = 2) -> Problem:
    """A random problem whose numbers are short enough to print: masses in hundredths, distortions in tenths.

    Every letter has mass at least 0.05.

    Parameters
    ----------
    rng : numpy.random.Generator
        Whose numbers it is made of.
    n, m, k : int
        Letters of X and Y, and classes.

    Examples
    --------
    >>> import numpy as np
    >>> problem = random_problem(np.random.default_rng(1), n=3, m=2)
    >>> problem.n, problem.m, problem.k
    (3, 2, 2)
    """

    def pmf(size: int) -> Any:
        return (5 + rng.multinomial(100 - 5 * size, rng.dirichlet(np.ones(size)))) / 100

    return Problem(pmf(n), pmf(m), np.array([pmf(k) for _ in range(n)]), rng.integers(0, 11, (n, m)) / 10)


def describe(instance: Any) -> str:
    """An instance in one line: a problem's arrays, a mapping's items, or the text itself.

    >>> describe({"px": 0.3, "R": None, "W": [[1, 0], [0.25, 0.75]]})
    'px=0.3, R=inf, W=[[1, 0], [0.25, 0.75]]'
    """
    if isinstance(instance, Problem):
        py = "free" if instance.free else instance.py
        instance = {"px": instance.px, "py": py, "ps_given_x": instance.ps_given_x, "d": instance.d}
    if isinstance(instance, Mapping):
        parts = [
            describe(value) if isinstance(value, Problem) else f"{name}={_short(value)}"
            for name, value in instance.items()
        ]
        return ", ".join(parts)
    return " ".join(str(instance).split())


def _short(value: Any) -> str:
    if value is None:
        return "inf"
    if isinstance(value, str):
        return value
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 0:
        return f"{float(array):.10g}"
    return f"[{', '.join(_short(item) for item in array)}]"


def _minus(a: float, b: float) -> float:
    """a − b, where infeasible agrees with infeasible."""
    return 0.0 if a == b else a - b


def _origin(function: TheoremFunction) -> tuple[str, str]:
    return function.__module__, function.__qualname__
