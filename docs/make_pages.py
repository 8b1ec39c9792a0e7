"""What the site holds that nobody writes: pictures, the theorems' verdicts, the notebooks, a page for each module."""

from __future__ import annotations

import inspect
import re
import shutil
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

#: Modules of the reference, in its order, with what a reader finds there.
MODULES = {
    "drcopt": "questions, problems, answers, errors",
    "drcopt.sources": "ready-made problems, and files",
    "drcopt.distortion": "distortion matrices",
    "drcopt.information": "entropies, in nats",
    "drcopt.tables": "sweep tables, read and written",
    "drcopt.export": "tables for papers",
    "drcopt.plotting": "pictures",
    "drcopt.explore": "pages for a browser",
    "drcopt.words": "the words that options take",
    "drcopt.proof": "proof files",
    "drcopt.checker": "the independent checker",
    "drcopt.closed_forms": "formulas",
    "drcopt.statistics": "what samples can prove",
    "drcopt.theorems": "statements and verdicts",
    "drcopt.neural": "restoration codecs",
}


def everything(root: Path, target: Path) -> None:
    """All of it, below ``target``."""
    notebooks(root, target / "notebooks")
    verdicts(target / "verdicts.md")
    reference(target / "reference")
    pictures(target / "pictures")


def notebooks(root: Path, target: Path) -> None:
    """Copies of the notebooks, which the site executes."""
    shutil.copytree(root / "notebooks", target, ignore=shutil.ignore_patterns("README.md", ".*"))


def verdicts(target: Path) -> None:
    """What ``drcopt validate`` says of every statement."""
    from drcopt import theorems

    text = theorems.to_markdown(theorems.validate())
    target.write_text(re.sub(r"^# .*$", "", text, count=1, flags=re.MULTILINE), encoding="utf-8")


def reference(target: Path) -> None:
    """A page for each module, generated from the docstrings of its public names."""
    import importlib

    target.mkdir()
    for name, what in MODULES.items():
        if name == "drcopt.neural" and find_spec("torch") is None:
            continue
        module = importlib.import_module(name)
        public = own(module, getattr(module, "__all__", vars(module)))
        lines = [name, "=" * len(name), "", f"*{what}*", ""]
        if name == "drcopt":
            # Modules have pages of their own.
            public = [n for n in public if f"drcopt.{n}" not in MODULES]
            lines += [f".. module:: {name}", ""]
        else:
            lines += [f".. automodule:: {name}", "   :no-members:", ""]
        public.sort(key=lambda n: rank(getattr(module, n)))
        lines += [line for n in public for line in entry(name, n, getattr(module, n))]
        (target / f"{name}.rst").write_text("\n".join(lines), encoding="utf-8")


def own(module: Any, names: Iterable[str]) -> list[str]:
    """Those of the names that are described with this module, not where they come from."""
    found = []
    for name in names:
        thing = getattr(module, name)
        home = getattr(thing, "__name__" if inspect.ismodule(thing) else "__module__", None) or module.__name__
        if not name.startswith("_") and home.startswith(module.__name__):
            found.append(name)
    return found


def rank(thing: Any) -> int:
    """Functions come first, errors last."""
    if inspect.isclass(thing):
        return 2 if issubclass(thing, BaseException) else 1
    return 0 if callable(thing) else 3


def entry(module: str, name: str, thing: Any) -> list[str]:
    """The directive for one public name."""
    if inspect.ismodule(thing):
        return [f".. automodule:: {thing.__name__}", "   :members:", ""]
    kind = "class" if inspect.isclass(thing) else "function" if callable(thing) else "data"
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        kind = "exception"
    more = ["   :members:"] if kind == "class" else ["   :no-value:"] if kind == "data" else []
    return [f".. auto{kind}:: {module}.{name}", *more, ""]


def pictures(target: Path) -> None:
    """The pictures of the first page and of the explanations."""
    import matplotlib

    matplotlib.use("Agg")
    import site_pictures

    target.mkdir()
    drawn: dict[str, Callable[[], Any]] = site_pictures.ALL
    for name, draw in drawn.items():
        draw().savefig(target / f"{name}.png", dpi=110)
