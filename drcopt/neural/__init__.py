"""Restoration codecs: trained nets that code images to real bits, to be held against the limit (extra ``neural``).

Examples
--------
>>> from drcopt import neural
>>> from drcopt.neural import data
>>> digits, task = data.load("digits"), neural.Task(factor=2)
>>> settings = neural.Settings(steps=20, index_steps=20, lambda_c=0.0).at(6)
>>> codec = neural.train(digits, task, settings)
>>> images = neural.degrade(digits.test.images, task)
>>> sent = codec.encode(images, seed=1)
>>> bool((codec.decode(sent) == codec.restore(images, seed=1)).all())
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from drcopt.support.check import require

if TYPE_CHECKING:
    from drcopt.neural.classifier import ClassifierSettings as ClassifierSettings
    from drcopt.neural.classifier import train_classifier as train_classifier
    from drcopt.neural.codec import Bits as Bits
    from drcopt.neural.codec import Codec as Codec
    from drcopt.neural.config import Settings as Settings
    from drcopt.neural.config import Task as Task
    from drcopt.neural.degradation import degrade as degrade
    from drcopt.neural.experiments import Results as Results
    from drcopt.neural.experiments import restoration as restoration
    from drcopt.neural.experiments import universal as universal
    from drcopt.neural.training import train as train

#: Where each public name is defined, and the modules that are public as they are.
_NAMES = {
    "Bits": "codec",
    "ClassifierSettings": "classifier",
    "Codec": "codec",
    "Results": "experiments",
    "Settings": "config",
    "Task": "config",
    "degrade": "degradation",
    "restoration": "experiments",
    "train": "training",
    "train_classifier": "classifier",
    "universal": "experiments",
}
__all__ = [*_NAMES]

#: What needs no PyTorch.
_LIGHT = ("config", "data", "store", "table")


def __getattr__(name: str) -> Any:
    """Modules and names load when they are first used; PyTorch takes seconds to import."""
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError(f"module 'drcopt.neural' has no attribute {name!r}")
    if module not in _LIGHT:
        require("torch", "neural", "drcopt.neural")
    return getattr(import_module(f"drcopt.neural.{module}"), name)
