"""Words and widgets for our pages."""

from __future__ import annotations

from typing import Any

from django import forms, template
from django.forms import BoundField
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from employees import phones, sign_ins
from employees.models import Change

register = template.Library()


@register.filter
def phone(number: str) -> str:
    """A client's number, as whoever looks may read it."""
    return phones.of_client(number) if number else _("hidden number")


@register.filter
def own_phone(number: str) -> str:
    """A number of the company or of its people."""
    return phones.pretty(number)


@register.filter
def discreet(text: Any) -> str:
    """Names and words of vendors, in which a client's number may stand."""
    return phones.in_text(str(text or ""))


@register.filter
def sentence(words: str) -> str:
    """A title of others as we write ours: “Change Password” is “Change password”."""
    return words.strip().capitalize()


@register.filter
def duration(seconds: int | None) -> str:
    """1:05, 12:00, 1:02:03."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@register.simple_tag
def icon(name: str, title: str = "") -> SafeString:
    if title:
        return format_html(
            '<span class="material-symbols-outlined cb-icon" role="img" title="{0}" aria-label="{0}">{1}</span>',
            title,
            name,
        )
    return format_html('<span class="material-symbols-outlined cb-icon" aria-hidden="true">{}</span>', name)


@register.simple_tag(takes_context=True)
def tab(context: template.Context, name: str, words: str) -> SafeString:
    """A link to a page, marked where one is on it or on a page below it."""
    address = reverse(name)
    here = context["request"].path.startswith(address)
    return format_html('<a href="{}"{}>{}</a>', address, mark_safe(' aria-current="page"') if here else "", words)


@register.inclusion_tag("portal/parts/field.html")
def field(bound: BoundField, depends: str = "", marked: str = "") -> dict[str, Any]:
    """A field with its label, its hint behind an icon and its errors beside it. `depends`: the id of a switch."""
    widget = bound.field.widget
    kind = "input"
    if isinstance(widget, forms.CheckboxInput):
        kind = "switch"
    elif isinstance(widget, forms.CheckboxSelectMultiple | forms.RadioSelect):
        kind = "group"
    elif isinstance(widget, forms.HiddenInput):
        kind = "hidden"
    return {
        "field": bound,
        "kind": kind,
        "depends": depends,
        "marked": marked,
        "may_be_forgotten": getattr(bound.field, "may_be_forgotten", False),
    }


@register.simple_tag(takes_context=True)
def refused_sign_ins(context: template.Context) -> list[Change]:
    """When somebody was not let in as the person who reads this."""
    return sign_ins.refused_lately(context["request"].user)


@register.inclusion_tag("portal/parts/dial.html", takes_context=True)
def dial(context: template.Context, number: str, what: str, key: Any) -> dict[str, Any]:
    """A phone icon that calls the number, for those who may. The page names `what` has it (a `call`, a `contact`) by
    its key, and not the number, which may be hidden."""
    return _of_number(context, "portal:dial", number, what, key)


@register.inclusion_tag("portal/parts/plan_call.html", takes_context=True)
def plan_call(context: template.Context, number: str, what: str, key: Any) -> dict[str, Any]:
    """An icon that puts the number into the planner; it is named as in `dial`."""
    return _of_number(context, "portal:planner_plan", number, what, key)


def _of_number(context: template.Context, page: str, number: str, what: str, key: Any) -> dict[str, Any]:
    able = context.get("may_work") and phones.is_phone(number or "")
    return {
        "able": able,
        "number": number,
        "what": what,
        "key": key,
        "address": reverse(page) if able else "",
        "csrf_token": context.get("csrf_token"),
        "here": context["request"].get_full_path() if "request" in context else "",
    }


@register.filter
def get(mapping: Any, key: Any) -> Any:
    return mapping.get(key)
