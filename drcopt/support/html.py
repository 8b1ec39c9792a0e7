"""What Jupyter shows for a problem or a solution: a small table, every text escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape


def table(title: str, rows: Mapping[str, str]) -> str:
    """A two-column HTML table."""
    left = ' style="text-align: left"'
    body = "".join(
        f"<tr><th{left}>{escape(name)}</th><td{left}>{escape(' '.join(text.split()))}</td></tr>"
        for name, text in rows.items()
    )
    return f'<table><thead><tr><th colspan="2"{left}>{escape(title)}</th></tr></thead><tbody>{body}</tbody></table>'


def number(value: float) -> str:
    """Eight digits, or ∞."""
    return "∞" if value == math.inf else f"{value:.8g}"
