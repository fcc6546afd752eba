"""The portal's planner: calls to make, and calling one number after another."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from clients import book
from clients.models import ClientPhone
from employees import phones
from employees.forms import DueInput, back
from employees.models import Company, Employee
from employees.rights import Right
from employees.sites import PortalRequest, company_of, mine, my, portal

from . import missed, planner, spreadsheets
from .models import Call, PlannedCall
from .planner import Planned, Wish

TITLE = gettext_lazy("Planner")
ONE_BY_ONE = gettext_lazy("One after another")
OPEN, DONE = "open", "done"
TABS = [(OPEN, gettext_lazy("To call")), (DONE, pgettext_lazy("planned calls", "Done"))]
LATER = [
    ("hour", gettext_lazy("in an hour")),
    ("tomorrow", gettext_lazy("tomorrow")),
    ("week", gettext_lazy("in a week")),
]
MOST_BYTES = 256 * 1024
Origin = PlannedCall.Origin


# --- The list ---------------------------------------------------------------------------------------------------------


@portal.page("planner/", name="planner", right=Right.WORK)
def planned(request: PortalRequest) -> HttpResponse:
    """What is open or done; with the header `X-Part` only its rows, for pages that live."""
    company, own = company_of(request), _own(request)
    show = DONE if request.GET.get("show") == DONE else OPEN
    plans = planner.done(company) if show == DONE else planner.queue(company, own)
    context = {
        "title": TITLE,
        "tabs": TABS,
        "show": show,
        "page": planner.page(plans, _number(request, "page", 1)),
        "ready": planner.ready(company, own).exists(),
    }
    part = "portal/parts/planner.html" if request.headers.get("X-Part") else "portal/planner.html"
    return portal.render(request, part, context)


def _own(request: PortalRequest) -> QuerySet[Employee]:
    """The employees that the person is."""
    return mine(request, Employee).filter(user=request.user)


def _number(request: HttpRequest, name: str, least: int) -> int:
    text = request.GET.get(name, "")
    return max(int(text), least) if text.isdecimal() and len(text) < 7 else least


# --- Planning ---------------------------------------------------------------------------------------------------------


class _WhenAndWhom(forms.Form):
    """When to call, and who does."""

    due_at = forms.DateTimeField(
        label=gettext_lazy("Not before"),
        required=False,
        widget=DueInput,
        help_text=gettext_lazy("Left empty, it may be called at once."),
    )
    employee = forms.ModelChoiceField(
        label=gettext_lazy("For whom"),
        queryset=Employee.objects.none(),
        required=False,
        empty_label=gettext_lazy("whoever comes first"),
        to_field_name="uuid",
    )

    def __init__(self, company: Company, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.region = company.region
        self.fields["employee"].queryset = Employee.objects.filter(company=company)  # type: ignore[attr-defined]


class PlanForm(_WhenAndWhom):
    words = forms.CharField(label=gettext_lazy("What about"), max_length=planner.MOST_WORDS, required=False)
    field_order = ["phone", "words", "due_at", "employee"]


class NewPlanForm(PlanForm):
    phone = forms.CharField(
        label=gettext_lazy("Number"),
        max_length=64,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "off"}),
    )

    def clean_phone(self) -> str:
        return phones.required(self.cleaned_data["phone"], self.region)


@portal.page("planner/new/", name="planner_new", right=Right.WORK)
def planner_new(request: PortalRequest) -> HttpResponse:
    company = company_of(request)
    form = NewPlanForm(company, request.POST or None)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        wish = Wish(said["phone"], said["words"])
        plan = planner.plan(company, [wish], by=request.user, due_at=said["due_at"], employee=said["employee"])
        _tell(request, plan)
        return redirect("portal:planner")
    return portal.render(request, "portal/planner_form.html", {"title": _("Plan a call"), "form": form})


@portal.page("planner/plan/", name="planner_plan", right=Right.WORK, posts=True)
def planner_plan(request: PortalRequest) -> HttpResponse:
    """With one click from elsewhere: the number of a `call`, or of a `contact` of the client book."""
    phone, origin = _to_plan(request)
    if phones.is_phone(phone):
        _tell(request, planner.plan(company_of(request), [Wish(phone)], by=request.user, origin=origin))
    else:
        messages.error(request, _("This is not a phone number."))
    return back(request, reverse("portal:planner"))


def _to_plan(request: PortalRequest) -> tuple[str, str]:
    if key := request.POST.get("contact", ""):
        return get_object_or_404(mine(request, ClientPhone), pk=key if key.isdecimal() else 0).phone, Origin.HAND
    if not (key := request.POST.get("call", "")):
        return "", Origin.HAND
    try:
        call = my(request, Call, uuid=UUID(key))
    except ValueError:
        raise Http404 from None
    was_missed = missed.missed(company_of(request)).filter(pk=call.pk).exists()
    return call.client_phone, Origin.MISSED if was_missed else Origin.HAND


def _tell(request: HttpRequest, plan: Planned) -> None:
    if plan.new:
        said = ngettext("%(count)d call is planned.", "%(count)d calls are planned.", plan.new)
        messages.success(request, said % {"count": plan.new})
    if plan.merged:
        said = ngettext(
            "%(count)d number was planned already: it stands there once, with the words of both.",
            "%(count)d numbers were planned already: they stand there once, with the words of both.",
            plan.merged,
        )
        messages.info(request, said % {"count": plan.merged})


@portal.page("planner/<uuid:uuid>/", name="planner_edit", right=Right.WORK)
def planner_edit(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Change what about, when and for whom; the number stays."""
    row = my(request, PlannedCall, uuid=uuid)
    initial = {"words": row.words, "due_at": row.due_at, "employee": row.employee and row.employee.uuid}
    form = PlanForm(company_of(request), request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        for name, value in form.cleaned_data.items():
            setattr(row, name, value)
        row.save(update_fields=list(form.cleaned_data))
        messages.success(request, _("Saved."))
        return redirect("portal:planner")
    title = _("Planned call: %(phone)s") % {"phone": phones.of_client(row.phone)}
    return portal.render(request, "portal/planner_form.html", {"title": title, "form": form})


# --- A list -----------------------------------------------------------------------------------------------------------


class ListForm(_WhenAndWhom):
    text = forms.CharField(
        label=gettext_lazy("Numbers"),
        required=False,
        strip=False,  # lines are told by their numbers
        max_length=MOST_BYTES,
        widget=forms.Textarea(attrs={"rows": 10, "spellcheck": "false"}),
        help_text=gettext_lazy(
            "One number in each line. What the call is about may follow after a semicolon, a comma or a tab. At most "
            "500 lines."
        ),
    )
    file = forms.FileField(
        label=gettext_lazy("Or a file"),
        required=False,
        widget=forms.FileInput(attrs={"accept": ".xlsx,.csv,.txt,.tsv,text/csv,text/plain"}),
        help_text=gettext_lazy(
            "XLSX, CSV or plain text. Of a spreadsheet the first sheet is read: numbers in its first column, what the "
            "call is about in the next ones."
        ),
    )
    field_order = ["text", "file", "due_at", "employee"]
    listed: planner.Listed

    def clean_file(self) -> str:
        file: UploadedFile | None = self.cleaned_data["file"]
        return _read(file) if file else ""

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        said["text"] = said.get("file") or said.get("text", "")
        if self.errors:
            return said
        if not said["text"].strip():
            self.add_error("text", _("Write the numbers here, or choose a file with them."))
            return said
        try:
            self.listed = planner.understand(said["text"], self.region)
        except forms.ValidationError as error:
            self.add_error("text", error)
        return said


def _read(file: UploadedFile) -> str:
    """A file's text, in UTF-8 or as Russian spreadsheets write it; a sheet's lines. Raises `ValidationError`."""
    if (file.size or 0) > MOST_BYTES:
        raise forms.ValidationError(_("The file is too large for a list of numbers. Divide it."))
    content = file.read()
    if content.startswith(spreadsheets.ZIP):
        from .xlsx import lines_of  # hardly any process reads such files

        return lines_of(content)
    if b"\0" in content:
        raise forms.ValidationError(_("This is no text. In the spreadsheet choose “Save as”, then XLSX or CSV."))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1251", "replace")


@portal.page("planner/list/", name="planner_list", right=Right.WORK)
def planner_list(request: PortalRequest) -> HttpResponse:
    """A list: first what was understood of it is shown, then it is planned. Wrong lines are left out and told."""
    company = company_of(request)
    form = ListForm(company, request.POST or None, request.FILES or None)
    step = request.POST.get("step", "")
    fine = request.method == "POST" and form.is_valid()
    said = form.cleaned_data if fine else {}
    if fine and step == "plan" and form.listed.wishes:
        when = {"due_at": said["due_at"], "employee": said["employee"]}
        _tell(request, planner.plan(company, form.listed.wishes, by=request.user, origin=Origin.LIST, **when))
        return redirect("portal:planner")
    context: dict[str, Any] = {"title": _("Plan a list"), "form": form}
    if fine and step != "correct":
        found = {wish.phone for wish in form.listed.wishes}
        open_ = planner.still_open(company).filter(phone__in=found)
        context |= {"listed": form.listed, "said": said, "known": set(open_.values_list("phone", flat=True))}
        return portal.render(request, "portal/planner_preview.html", context)
    return portal.render(request, "portal/planner_list.html", context)


# --- One after another ------------------------------------------------------------------------------------------------


@portal.page("planner/run/", name="planner_run", right=Right.WORK)
def planner_run(request: PortalRequest) -> HttpResponse:
    """The call whose turn it is, kept from others meanwhile. It is named in the address, so that it stays before one's
    eyes when it is done. `skipped`: how many were left aside for now."""
    company, own = company_of(request), _own(request)
    skipped = _number(request, "skipped", 0)
    here = reverse("portal:planner_run")
    if not (named := request.GET.get("now", "")):
        if chosen := planner.take_next(company, own, request.user, skipped):
            return redirect(f"{here}?now={chosen.uuid}&skipped={skipped}")
        if skipped and planner.free(company, own, request.user).exists():
            messages.info(request, _("That was the last one. Now come those that you skipped."))
            return redirect(here)
        waiting = planner.waiting(company, own).first()
        others = planner.ready(company, own).exists()
        nobody = {"title": ONE_BY_ONE, "waiting": waiting, "others": others}
        return portal.render(request, "portal/planner_run.html", nobody)
    (row,) = planner.rows([_planned(request, named)])
    over = bool(row.plan.done_at or row.talk)
    context = {
        "title": ONE_BY_ONE,
        "row": row,
        "over": over,
        "mine": over or planner.take(row.plan, request.user),
        "left": planner.ready(company, own).count(),
        "skipped": skipped,
        "next": skipped + 1,
        "later": LATER,
        "comment": book.last_comments(company, [row.plan.phone]).get(row.plan.phone),
    }
    part = "portal/parts/planner_run.html" if request.headers.get("X-Part") else "portal/planner_run.html"
    return portal.render(request, part, context)


def _planned(request: HttpRequest, key: str) -> PlannedCall:
    try:
        return get_object_or_404(planner.with_people(mine(request, PlannedCall)), uuid=UUID(key))
    except ValueError:
        raise Http404 from None


class NoteForm(forms.ModelForm):
    class Meta:
        model = PlannedCall
        fields = ["note"]


@portal.page("planner/<uuid:uuid>/done/", name="planner_done", right=Right.WORK, posts=True)
def planner_done(request: PortalRequest, uuid: UUID) -> HttpResponse:
    row = my(request, PlannedCall, uuid=uuid)
    form = NoteForm(request.POST)
    if row.done_at:
        messages.info(request, _("It was closed already."))
    elif form.is_valid():
        planner.close(row, request.user, form.cleaned_data["note"])
        messages.success(request, _("Done. It stands among the done ones, and can be opened again there."))
    else:
        messages.error(request, _("The note has at most 500 characters. Nothing was closed."))
    return back(request, reverse("portal:planner"))


@portal.page("planner/<uuid:uuid>/reopen/", name="planner_reopen", right=Right.WORK, posts=True)
def planner_reopen(request: HttpRequest, uuid: UUID) -> HttpResponse:
    planner.reopen(my(request, PlannedCall, uuid=uuid, call=None))
    messages.success(request, _("It stands among the open ones again."))
    return back(request, reverse("portal:planner"))


@portal.page("planner/<uuid:uuid>/later/", name="planner_later", right=Right.WORK, posts=True)
def planner_later(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, PlannedCall, uuid=uuid)
    due_at = planner.later(request.POST.get("when", ""))
    if due_at:
        planner.put_off(row, due_at)
        messages.success(request, _("It comes again when its time has come."))
    else:
        messages.error(request, _("Choose when to call."))
    return back(request, reverse("portal:planner"))


@portal.page("planner/<uuid:uuid>/leave/", name="planner_leave", right=Right.WORK, posts=True)
def planner_leave(request: PortalRequest, uuid: UUID) -> HttpResponse:
    """Whoever had the call before his eyes looks elsewhere: others may take it."""
    planner.give_back(my(request, PlannedCall, uuid=uuid), request.user)
    return HttpResponse(status=204)


portal.in_menu(
    "planner",
    TITLE,
    "event_upcoming",
    group="",
    order=5,
    inside=("planner_new", "planner_list", "planner_edit", "planner_run"),
)
