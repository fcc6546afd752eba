"""Pictures drawn on the server: SVG whose colours are those of the page, light and dark. The numbers stand in a table
beside each, so a picture is named and not read out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template

register = template.Library()

LINE, THICK = 40, 12
"""Pixels from one bar to the next, and how thick a bar is."""
MARGIN = 9.0
"""Per cent on the left for the names of a heat map's rows."""
HIGH = 24


@register.inclusion_tag("portal/parts/bars.html")
def bars(title: str, rows: Sequence[tuple[str, Sequence[tuple[str, int]]]]) -> dict[str, Any]:
    """A bar for each row, its parts one after another by tone; the longest is as wide as the picture."""
    longest = max((sum(value for _tone, value in parts) for _name, parts in rows), default=0) or 1
    drawn = []
    for place, (name, parts) in enumerate(rows):
        left, shapes = 0.0, []
        for tone, value in parts:
            width = 100 * value / longest
            shapes.append({"tone": tone, "x": f"{left:.2f}%", "width": f"{width:.2f}%"})
            left += width
        total = sum(value for _tone, value in parts)
        drawn.append({"name": name, "total": total, "text": place * LINE + 14, "y": place * LINE + 20, "parts": shapes})
    return {"title": title, "rows": drawn, "thick": THICK, "height": len(rows) * LINE}


@register.inclusion_tag("portal/parts/heat.html")
def heat(title: str, tone: str, rows: Sequence[tuple[str, Sequence[int]]]) -> dict[str, Any]:
    """A square for each hour of each row, the stronger the more there is."""
    most = max((value for _name, values in rows for value in values), default=0) or 1
    width = (100 - MARGIN) / 24
    drawn = [
        {
            "name": name,
            "text": place * HIGH + HIGH + 15,
            "y": place * HIGH + HIGH,
            "squares": [
                {"x": f"{MARGIN + hour * width:.2f}%", "hour": hour, "value": value, "opacity": f"{value / most:.2f}"}
                for hour, value in enumerate(values)
            ],
        }
        for place, (name, values) in enumerate(rows)
    ]
    heads = [{"x": f"{MARGIN + hour * width:.2f}%", "hour": hour} for hour in range(0, 24, 3)]
    return {
        "title": title,
        "tone": tone,
        "rows": drawn,
        "heads": heads,
        "width": f"{width:.2f}%",
        "high": HIGH - 2,
        "height": (len(rows) + 1) * HIGH,
    }
