"""What a person does during a call: be told of it, transfer it, note something, say who the client is, set a task.

The card itself, which also knows CRMs, is a page of `integrations`.
"""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clients import book
from clients.models import Comment, Task
from clients.task_pages import TaskForm
from employees import phones
from employees.forms import back
from employees.models import Employee, Extension
from employees.rights import Right
from employees.sites import PortalRequest, company_of, mine, my, portal
from outbound.errors import OutboundError

from . import commands, live, live_company, words
from .models import Call


class CommentForm(forms.Form):
    text = forms.CharField(
        label=gettext_lazy("Comment"),
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2, "maxlength": 4000}),
        error_messages={"required": gettext_lazy("Write the comment first.")},
    )


class ClientForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Client's name"),
        max_length=300,
        error_messages={"required": gettext_lazy("Write the client's name first.")},
    )
    organisation = forms.CharField(label=gettext_lazy("Organisation"), max_length=300, required=False)
    email = forms.CharField(label=book.FIELDS["email"], max_length=300, required=False, widget=forms.EmailInput)
    position = forms.CharField(label=book.FIELDS["position"], max_length=300, required=False)
    address = forms.CharField(label=book.FIELDS["address"], max_length=300, required=False)
    note = forms.CharField(
        label=book.FIELDS["note"], max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 3})
    )


@portal.page("card/live/", name="card_live", right=Right.WORK)
def card_live(request: PortalRequest) -> HttpResponseBase:
    """The stream of the person's calls; with `all` of the company's, for those without an employee of their own."""
    return live.respond(request, live.Person.of(request, everybody="all" in request.GET))


@portal.page("calls/live/", name="calls_live", right=Right.READ)
def calls_live(request: PortalRequest) -> HttpResponseBase:
    """The stream of pages that show many calls: that something of the company's has changed."""
    return live_company.respond(request)


@portal.page("calls/<uuid:uuid>/transfer/", name="transfer", right=Right.WORK, posts=True)
def transfer(request: PortalRequest, uuid: UUID) -> HttpResponse:
    """Hand the client over to one of the company's extensions."""
    call = my(request, Call, uuid=uuid)
    to = mine(request, Extension).filter(number=request.POST.get("to", "")).select_related("employee").first()
    if to is None:
        messages.error(request, _("Choose whom to transfer the call to."))
        return _back(request, call)
    try:
        commands.transfer(call, to.number, user=request.user)
    except OutboundError as error:
        messages.error(request, str(words.REFUSALS.get(error.code, words.ours(error.words))))
    else:
        messages.success(request, _("The PBX was asked to transfer the call to %(whom)s.") % {"whom": to})
    return _back(request, call)


@portal.page("calls/<uuid:uuid>/comment/", name="comment", right=Right.WORK, posts=True)
def comment(request: PortalRequest, uuid: UUID) -> HttpResponse:
    """Kept under the client's number; also after the call."""
    call = my(request, Call, uuid=uuid)
    form = CommentForm(request.POST)
    if not form.is_valid():
        return _refuse(request, call, form)
    Comment.objects.create(
        company=company_of(request),
        client_phone=call.client_phone,
        call=call.uuid,
        author=request.user,
        text=form.cleaned_data["text"],
    )
    live.touch(call.pk)
    messages.success(request, _("The comment is kept."))
    return _back(request, call)


@portal.page("calls/<uuid:uuid>/client/", name="call_client", right=Right.WORK, posts=True)
def call_client(request: PortalRequest, uuid: UUID) -> HttpResponse:
    """Enter in the client book whom the number belongs to, or correct what was entered."""
    call = my(request, Call, uuid=uuid)
    form = ClientForm(request.POST)
    if not phones.is_phone(call.client_phone):
        messages.error(request, _("The number is hidden, so nobody can be entered under it."))
        return _back(request, call)
    if not form.is_valid():
        return _refuse(request, call, form)
    said = form.cleaned_data
    details = {name: said[name] for name in book.FIELDS}
    book.enter(company_of(request), call.client_phone, said["name"], said["organisation"], details)
    live.touch(call.pk)
    messages.success(request, _("The client book has it."))
    return _back(request, call)


@portal.page("calls/<uuid:uuid>/task/", name="call_task", right=Right.WORK, posts=True)
def call_task(request: PortalRequest, uuid: UUID) -> HttpResponse:
    """Kept here, where no CRM keeps it."""
    call = my(request, Call, uuid=uuid)
    form = TaskForm(mine(request, Employee), request.POST)
    if not form.is_valid():
        return _refuse(request, call, form)
    Task.objects.create(
        company=company_of(request),
        client_phone=call.client_phone,
        call=call.uuid,
        made_by=request.user,
        **form.cleaned_data,
    )
    live.touch(call.pk)
    messages.success(request, _("The task is kept."))
    return _back(request, call)


def _refuse(request: HttpRequest, call: Call, form: forms.Form) -> HttpResponse:
    for errors in form.errors.values():
        messages.error(request, " ".join(map(str, errors)))
    return _back(request, call)


def _back(request: HttpRequest, call: Call) -> HttpResponse:
    return back(request, reverse("portal:call", args=[call.uuid]))
