"""The portal's page of changes: who changed what, and when. Pages follow each other by id, so nothing is counted."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import audit
from .models import Change, Membership, User
from .rights import Right
from .sites import mine, portal

PAGE = 50


class ChangesFilter(forms.Form):
    person = forms.ModelChoiceField(
        label=gettext_lazy("Person"), queryset=User.objects.none(), required=False, empty_label=gettext_lazy("any")
    )
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), choices=(), required=False)
    before = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, request: HttpRequest):
        super().__init__(request.GET)
        self._rows = mine(request, Change)
        members = mine(request, Membership).values("user")
        self.fields["person"].queryset = User.objects.filter(pk__in=members)  # type: ignore[attr-defined]
        self.fields["kind"].choices = [("", _("any")), *audit.KINDS.items()]  # type: ignore[attr-defined]

    def changes(self) -> QuerySet[Change]:
        """The changes asked for, newest first; a filter that makes no sense narrows nothing."""
        self.is_valid()
        rows = self._rows.select_related("actor").order_by("-id")
        columns = {"person": "actor", "kind": "kind", "before": "pk__lt"}
        return rows.filter(**{columns[name]: value for name, value in self.cleaned_data.items() if value})


@portal.page("changes/", name="changes", right=Right.MANAGE)
def changes(request: HttpRequest) -> HttpResponse:
    form = ChangesFilter(request)
    rows = list(form.changes()[: PAGE + 1])
    more, rows = len(rows) > PAGE, rows[:PAGE]
    members = set(mine(request, Membership).values_list("user_id", flat=True))
    for row in rows:
        row.told = told(row)  # type: ignore[attr-defined]
        row.by = _("support") if _of_support(row, members) else row.actor_name  # type: ignore[attr-defined]
    context = {
        "title": _("Changes"),
        "form": form,
        "rows": rows,
        "older": rows[-1].pk if more else None,
        "narrowed": any(request.GET.get(name) for name in ("person", "kind")),
    }
    return portal.render(request, "portal/changes.html", context)


def _of_support(row: Change, members: set[int]) -> bool:
    """Customers are told that it was our support, not who of us."""
    return bool(row.actor and row.actor.is_staff and row.actor_id not in members)


def told(row: Change) -> dict[str, Any]:
    """A change in the reader's language."""
    lines = [
        {
            "label": _(line["label"]),
            "secret": line.get("secret", False),
            "names": ", ".join(_(name) for name in line.get("names", ())),
            "before": _said(line.get("before")),
            "after": _said(line.get("after")),
        }
        for line in row.lines
    ]
    return {"kind": audit.KINDS.get(row.kind, row.kind), "lines": lines}


def _said(value: Any) -> str:
    return _(value["words"]) if isinstance(value, dict) else str(value or "")
