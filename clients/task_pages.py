"""What is to be done about clients: the form of a task, which cards of calls use too, and the list to be worked off."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from employees.forms import DueInput, back
from employees.models import Employee
from employees.rights import Right
from employees.sites import PortalRequest, company_of, mine, my, portal

from . import book
from .models import Task

PAGE = 50
LONGEST = 2000
OPEN, DONE = "open", "done"
TABS = [(OPEN, pgettext_lazy("tasks", "To do")), (DONE, pgettext_lazy("tasks", "Done"))]
MORNING = 10
"""The hour of tomorrow that is offered."""


class TaskForm(forms.Form):
    """`people`: who may be named."""

    text = forms.CharField(
        label=gettext_lazy("What is to be done"),
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 2, "maxlength": LONGEST}),
        error_messages={"required": gettext_lazy("Write first what is to be done.")},
    )
    due_at = forms.DateTimeField(
        label=gettext_lazy("Until when"),
        widget=DueInput,
        error_messages={"required": gettext_lazy("Say until when it is to be done.")},
    )
    employee = forms.ModelChoiceField(
        label=gettext_lazy("Who does it"),
        queryset=Employee.objects.none(),
        required=False,
        empty_label="—",
        to_field_name="uuid",
    )

    def __init__(self, people: Iterable[Employee], *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        known: Any = self.fields["employee"]
        known.queryset = people


def tomorrow() -> datetime:
    """When a task is due unless somebody says otherwise."""
    there = timezone.localtime() + timedelta(days=1)
    return there.replace(hour=MORNING, minute=0, second=0, microsecond=0)


@portal.page("tasks/", name="tasks", right=Right.WORK)
def tasks(request: PortalRequest) -> HttpResponse:
    """What is open or done; of the person and of nobody, or (`all`) of everybody."""
    show = DONE if request.GET.get("show") == DONE else OPEN
    everybody = "all" in request.GET
    rows = mine(request, Task).filter(done_at__isnull=show == OPEN).select_related("employee", "made_by", "done_by")
    if not everybody:
        rows = rows.filter(Q(employee=None) | Q(employee__user=request.user))
    page = Paginator(rows.order_by("due_at" if show == OPEN else "-done_at", "pk"), PAGE)
    shown = page.get_page(request.GET.get("page"))
    context = {
        "title": _("Tasks"),
        "tabs": TABS,
        "show": show,
        "everybody": everybody,
        "page": shown,
        "clients": book.known(company_of(request).pk, {row.client_phone for row in shown}),
    }
    return portal.render(request, "portal/tasks.html", context)


@portal.page("tasks/<uuid:uuid>/done/", name="task_done", right=Right.WORK, posts=True)
def task_done(request: PortalRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Task, uuid=uuid)
    if not row.done_at:
        row.done_at, row.done_by = timezone.now(), request.user
        row.save(update_fields=["done_at", "done_by"])
    messages.success(request, _("The task is done."))
    return back(request, reverse("portal:tasks"))


@portal.page("tasks/<uuid:uuid>/reopen/", name="task_reopen", right=Right.WORK, posts=True)
def task_reopen(request: PortalRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Task, uuid=uuid)
    row.done_at = row.done_by = None
    row.save(update_fields=["done_at", "done_by"])
    messages.success(request, _("The task is open again."))
    return back(request, reverse("portal:tasks"))


portal.in_menu("tasks", gettext_lazy("Tasks"), "task_alt", group="", order=5)
