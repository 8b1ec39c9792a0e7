"""The site: ``sphinx-build -W docs docs/_build``. Pages run their code; what nobody writes is made by make_pages.py."""

from __future__ import annotations

import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
GENERATED = HERE / "_generated"
sys.path.insert(0, str(HERE))

import make_pages  # noqa: E402  beside this file
from pygments.lexers.special import TextLexer  # noqa: E402

project = "drcopt"
author = "The drcopt authors"
project_copyright = author
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "**/README.md", "_generated/verdicts.md"]
# Included texts begin where the page that includes them is; what a module lists, its functions refer to.
suppress_warnings = ["myst.header", "ref.footnote"]
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence", "attrs_block"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "drcopt"
html_static_path = ["_static"]
html_css_files = ["site.css"]

# Every page and notebook runs; what fails, fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_in_temp = True
nb_merge_streams = True
nb_output_stderr = "remove-warn"
if find_spec("torch") is None:
    nb_execution_excludepatterns = ["**/08_*"]  # its nets need the extra "neural"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types, shapes and units
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

# What is left as it is in docstrings: code, roles, links.
_MARKUP = re.compile(r"(``.+?``|:[a-z:]+:`.+?`|`.+?`_)")
_FOOTNOTE = re.compile(r"(?<=\.\. )\[(\d+)\]|\[(\d+)\](?=_)")


def _formulas_and_footnotes(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Formulas hold bars, which the markup would read as substitutions; footnotes of one page need different names."""
    if lines and not callable(obj) and (type(obj).__doc__ or "").strip().startswith(lines[0].strip()):
        lines.clear()  # what a dictionary is needs no telling
    owner = name if any(".. [1]" in line for line in lines) else getattr(obj, "__module__", name)
    unique = re.sub(r"\W", "-", owner)
    example = False
    for place, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            parts = _MARKUP.split(line)
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[place] = _FOOTNOTE.sub(lambda m: f"[#{unique}-{m[1] or m[2]}]", "".join(parts))


def _generate(app: Any) -> None:
    shutil.rmtree(GENERATED, ignore_errors=True)
    GENERATED.mkdir()
    make_pages.everything(ROOT, GENERATED)


def setup(app: Any) -> None:
    app.add_lexer("mermaid", TextLexer)  # drawn where the repository is browsed, readable as text here
    app.connect("builder-inited", _generate)
    app.connect("autodoc-process-docstring", _formulas_and_footnotes)
