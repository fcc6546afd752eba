"""Where the customer sees who of our support looked at his portal."""

from __future__ import annotations

from typing import Any

from django import template

from integrations import visits as all_visits

register = template.Library()


@register.inclusion_tag("portal/parts/visits.html", takes_context=True)
def visits(context: template.Context) -> dict[str, Any]:
    return {"visits": all_visits.shown(context["membership"].company)}
