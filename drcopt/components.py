"""What a solution consists of besides its coupling: numbers by class, components of a mixture, atoms of a message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from drcopt.support import check
from drcopt.support.check import FloatArray


class ReadOnly:
    """Arrays that cannot be written to, after unpickling too."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray) and value.flags.writeable:
                object.__setattr__(self, name, _viewed(value))
            elif isinstance(value, ByClass):
                object.__setattr__(self, name, ByClass({of: _viewed(each) for of, each in value.items()}))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()


def _viewed(value: Any) -> Any:
    """A view of an array that cannot be written to; anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    view = value.view()
    view.flags.writeable = False
    return view


class ByClass(dict[str, float]):
    """Numbers (of a message: tables) by the name of their class, read-only; it formats as a number does.

    >>> f"{ByClass(digit=0.51234, even=0.25):.3g}"
    '{digit: 0.512, even: 0.25}'
    """

    def _refused(self, *_: Any, **__: Any) -> Any:
        raise TypeError("read-only: copy it with dict(…)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refused

    def __reduce__(self) -> tuple[Any, ...]:
        return (ByClass, (dict(self),))

    def __format__(self, spec: str) -> str:
        return "{" + ", ".join(f"{name}: {value:{spec}}" for name, value in self.items()) + "}"


@dataclass(frozen=True, eq=False)
class Component(ReadOnly):
    """One part of a mixture: its weight, its coupling and, for one-shot codes, its map.

    ``map`` holds f(x) for each x, or is None for time-sharing. ``distortion`` is E d under this component,
    ``rate`` is I_q(X;Y) (time-sharing) or H(f(X)) (one-shot), ``classification_loss`` is H_q(S|Y).
    """

    weight: float
    coupling: FloatArray
    map: np.ndarray | None
    distortion: float
    rate: float
    classification_loss: float


@dataclass(frozen=True, eq=False)
class Message(ReadOnly):
    """What the decoder decodes, V, with ``classifier_sees="message"``: its atoms.

    ``letters`` (J,) is the letter of Y that the decoder puts out for each, by place; ``weights`` (J,) its probability;
    ``posteriors`` (J, n) p(x|v); ``classes`` (J, k) p(s|v), the best soft classifier of the message (with several
    classes a mapping of such arrays, by name).
    """

    letters: np.ndarray
    weights: FloatArray
    posteriors: FloatArray
    classes: Any


@dataclass(frozen=True, eq=False)
class Mixture:
    """The components shared by encoder and decoder through the common randomness U (or Q)."""

    components: tuple[Component, ...]

    def __len__(self) -> int:
        return len(self.components)

    def __iter__(self) -> Iterator[Component]:
        return iter(self.components)

    @property
    def weights(self) -> FloatArray:
        """Probabilities of the components."""
        return np.array([c.weight for c in self.components])

    def sample(self, x: Any, rng: np.random.Generator | int | None) -> tuple[np.ndarray, np.ndarray]:
        """Draw U and reconstruct: for letters ``x`` by place return (y, u), u the index of the component used.

        A one-shot code applies the map of component u; time-sharing draws y from its coupling. ``rng`` is a NumPy
        generator or a seed.

        Raises
        ------
        InputError
            If x holds anything but places of letters, or rng is neither.
        """
        x, rng = check.indices("x", x, len(self.components[0].coupling)), check.generator(rng)
        weights = self.weights
        u = rng.choice(len(weights), size=x.shape, p=weights / weights.sum())
        y = np.empty(x.shape, dtype=np.intp)
        for q, component in enumerate(self.components):
            here = u == q
            if component.map is not None:
                y[here] = component.map[x[here]]
                continue
            y[here] = draw(channel_of(component.coupling), x[here], rng)
        return y, u


def channel_of(coupling: FloatArray) -> FloatArray:
    """p(y|x) of a coupling; the law of Y where x has no mass, where any would do."""
    rows = np.broadcast_to(coupling.sum(axis=1, keepdims=True), coupling.shape)
    given = np.divide(coupling, rows, out=np.empty_like(coupling), where=rows > 0)
    return np.asarray(np.where(rows > 0, given, coupling.sum(axis=0)))


def draw(channel: FloatArray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A letter of Y for each letter of X, none without mass."""
    steps = np.cumsum(channel, axis=1)
    steps /= steps[:, -1:]  # the last letter with mass ends at 1 exactly, and the draw lies below 1
    y = np.empty(x.shape, dtype=np.intp)
    draws = rng.random(x.shape)
    for letter in np.unique(x):
        here = x == letter
        y[here] = np.searchsorted(steps[letter], draws[here], side="right")
    return y
