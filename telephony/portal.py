"""The portal's pages of telephony: PBX connections, their numbers and extensions, dialling, hanging up, recordings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clients.models import ClientPhone
from employees import limits, phones
from employees.forms import back, onward
from employees.models import Extension
from employees.rights import Right
from employees.sites import M, PortalRequest, company_of, mine, my, portal
from outbound.errors import OutboundError

from . import account_forms, browser_phones, commands, planner, pulse, recordings, routing, views, words
from .hours_pages import in_short
from .models import Call, Connection, InboxEvent, Listening, PlannedCall, Recording
from .providers.base import Capability, PbxUser

SETTINGS = gettext_lazy("Settings")


# --- Connections ------------------------------------------------------------------------------------------------------


@portal.page("connections/", name="connections", right=Right.MANAGE)
def connections(request: HttpRequest) -> HttpResponse:
    rows = mine(request, Connection).prefetch_related("virtual_numbers")
    return portal.render(request, "portal/connections.html", {"title": _("PBX connections"), "rows": rows})


@portal.page("connections/new/<slug:brand>/", name="connection_new", right=Right.MANAGE)
def connection_new(request: HttpRequest, brand: str) -> HttpResponse:
    found = account_forms.find_brand(brand)
    if found is None:
        raise Http404
    if full := limits.reached(company_of(request), "most_connections", mine(request, Connection)):
        messages.error(request, full)
        return redirect("portal:connections")
    return _connection_form(request, account_forms.begin(company_of(request), *found))


@portal.page("connections/<uuid:uuid>/", name="connection", right=Right.MANAGE)
def connection(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _connection_form(request, my(request, Connection, uuid=uuid))


def _connection_form(request: HttpRequest, row: Connection, extra: dict[str, Any] | None = None) -> HttpResponse:
    post = request.POST if request.method == "POST" and extra is None else None
    names = account_forms.NameForm(post, instance=row)
    keys = account_forms.keys_form(row, post)
    if post is not None and all([names.is_valid(), keys.is_valid()]):
        new = row.pk is None
        row = account_forms.save(row, names, keys)
        words_ = _("Saved. Now tell the PBX the address below.") if new else _("Saved.")
        messages.success(request, words_)
        return onward(request, "portal:connection", row.uuid)
    brand = account_forms.brand_of(row.provider, row.brand)
    saved = Connection.objects.filter(pk=row.pk).first() if row.pk else None
    url = saved.address.url if saved else ""
    context = {
        "title": saved.name if saved else _("New connection: %(brand)s") % {"brand": brand.title},
        "row": saved,
        "brand": brand,
        "names": names,
        "keys": keys,
        "address": url,
        "retiring": saved.addresses.exclude(retires_at=None).order_by("-retires_at").first() if saved else None,
        "guide": account_forms.guide(row.protocol.folder, webhook_url=url or "…"),
        "capabilities": row.protocol.able(saved.credentials) if saved else frozenset(),
        "listens": row.protocol.listens,
        "tests_itself": row.protocol.self_test is not None,
        "line": Listening.objects.filter(connection=saved).first() if saved else None,
        "answered": routing.answered_lately(saved) if saved else None,
        "pulse": pulse.of([saved])[saved.pk] if saved else [],
        "last_event": saved.events.order_by("-received_at").first() if saved else None,
        "failed_events": saved.events.filter(state=InboxEvent.State.FAILED).order_by("-id")[:5] if saved else [],
        **(extra or {}),
    }
    return portal.render(request, "portal/connection.html", context)


@portal.page("connections/<uuid:uuid>/check/", name="connection_check", right=Right.MANAGE, posts=True)
def connection_check(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Connection, uuid=uuid)
    try:
        checks = account_forms.check(row)
    except OutboundError as error:
        messages.error(request, account_forms.unanswered(row, error))
        return onward(request, "portal:connection", row.uuid)
    return _connection_form(request, row, {"checks": checks})


@portal.page("connections/<uuid:uuid>/rotate/", name="connection_rotate", right=Right.MANAGE, posts=True)
def connection_rotate(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Connection, uuid=uuid)
    account_forms.rotate(row)
    messages.success(request, _("A new address is in force. The old one works for 24 hours more."))
    return redirect("portal:connection", row.uuid)


# --- Users and numbers of the PBX -------------------------------------------------------------------------------------


@portal.page("connections/<uuid:uuid>/users/load/", name="connection_users_load", right=Right.MANAGE, posts=True)
def users_load(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """«Загрузить пользователей АТС»: the list is kept for this session, and nothing is changed by it."""
    row = my(request, Connection, uuid=uuid)
    try:
        users = account_forms.users(row)
    except (OutboundError, NotImplementedError) as error:
        messages.error(request, account_forms.unanswered(row, error))
        return onward(request, "portal:connection", row.uuid)
    if not users:
        messages.warning(request, _("The PBX listed no users. Nothing was changed."))
        return onward(request, "portal:connection", row.uuid)
    request.session[_users_key(row)] = [asdict(user) for user in users]
    return onward(request, "portal:connection_users", row.uuid)


def _users_key(row: Connection) -> str:
    return f"pbx-users-{row.uuid}"


@portal.page("connections/<uuid:uuid>/users/", name="connection_users", right=Right.MANAGE)
def users(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The matching table: extension → employee, or what else happens with its calls."""
    row = my(request, Connection, uuid=uuid)
    loaded = [PbxUser(**user) for user in request.session.get(_users_key(row), [])]
    company = company_of(request)
    lines = account_forms.matches(company, loaded)
    if request.method == "POST":
        changed = account_forms.keep_matches(company, lines, request.POST)
        messages.success(request, _("Saved: %(count)d extensions changed.") % {"count": changed})
        return back(request, reverse("portal:connection_users", args=[row.uuid]))
    context = {
        "title": _("Users of the PBX: %(name)s") % {"name": row.name},
        "row": row,
        "lines": lines,
        "without": [user for user in loaded if not user.extension],
        "choices": account_forms.choices(company),
    }
    return portal.render(request, "portal/connection_users.html", context)


@portal.page("connections/<uuid:uuid>/numbers/load/", name="connection_numbers_load", right=Right.MANAGE, posts=True)
def numbers_load(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Connection, uuid=uuid)
    try:
        new, gone = account_forms.load_numbers(row)
    except (OutboundError, NotImplementedError) as error:
        messages.error(request, account_forms.unanswered(row, error))
        return onward(request, "portal:connection_numbers", row.uuid)
    messages.success(request, _("New numbers: %(count)d.") % {"count": new})
    if gone:
        listed = ", ".join(phones.pretty(number.number) for number in gone)
        messages.warning(request, _("The PBX did not list these, they were kept: %(numbers)s") % {"numbers": listed})
    return back(request, reverse("portal:connection_numbers", args=[row.uuid]))


@portal.page("connections/<uuid:uuid>/numbers/", name="connection_numbers", right=Right.MANAGE)
def numbers(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Connection, uuid=uuid)
    formset = account_forms.Numbers(request.POST or None, queryset=row.virtual_numbers.order_by("number"))
    if request.method == "POST" and formset.is_valid():
        formset.save()
        messages.success(request, _("Saved."))
        return redirect("portal:connection_numbers", row.uuid)
    for form in formset:
        form.instance.hours_in_short = in_short(form.instance)
    context = {
        "title": _("Numbers: %(name)s") % {"name": row.name},
        "row": row,
        "formset": formset,
        "able": Capability.NUMBERS in row.protocol.able(row.credentials),
    }
    return portal.render(request, "portal/connection_numbers.html", context)


# --- Dialling and hanging up ------------------------------------------------------------------------------------------


@portal.page("dial/", name="dial", right=Right.WORK, posts=True)
def dial(request: PortalRequest) -> HttpResponse:
    """Call the employee, then the number. Without an extension of his own the person chooses one."""
    what, key, number = _to_dial(request)
    if what == "planned" and not planner.take(_named(request, PlannedCall, key), request.user):
        messages.error(request, _("Somebody else is calling this number just now."))
        return back(request, reverse("portal:planner"))
    phone = phones.normalise(number, company_of(request).region)
    if not phones.is_phone(phone):
        messages.error(request, _("This is not a phone number."))
        return back(request, reverse("portal:calls"))
    row = _connection_to_dial(request)
    if row is None:
        messages.error(request, _("There is no active connection with a PBX that can dial."))
        return back(request, reverse("portal:calls"))
    extension = _own_extension(request)
    if not extension:
        return _choose_extension(request, row, phone, {"what": what, "key": key})
    try:
        commands.dial(row, extension=extension, phone=phone, user=request.user)
    except OutboundError as error:
        messages.error(
            request, _("The call was not made: %(words)s") % {"words": phones.in_text(words.ours(error.words))}
        )
    else:
        told = _("Extension %(extension)s will ring, then %(phone)s is dialled.")
        messages.success(request, told % {"extension": extension, "phone": phones.of_client(phone)})
    return back(request, reverse("portal:calls"))


def _to_dial(request: PortalRequest) -> tuple[str, str, str]:
    """What has the number (a `call`, a `contact` of the client book, what is `planned`), its key, and the number; else
    one typed."""
    if key := request.POST.get("call", ""):
        return "call", key, _named(request, Call, key).client_phone
    if key := request.POST.get("planned", ""):
        return "planned", key, _named(request, PlannedCall, key).phone
    if key := request.POST.get("contact", ""):
        return "contact", key, get_object_or_404(mine(request, ClientPhone), pk=key if key.isdecimal() else 0).phone
    return "phone", (typed := request.POST.get("phone", "")), typed


def _named(request: PortalRequest, model: type[M], key: str) -> M:
    try:
        return my(request, model, uuid=UUID(key))
    except ValueError as error:
        raise Http404 from error


def _connection_to_dial(request: PortalRequest) -> Connection | None:
    """That of the phone that is switched on in this browser; else the one that was chosen or that the call came by,
    where it can; else the first that can."""
    if phone := browser_phones.of_this_browser(request):
        return phone.connection
    able = commands.able_to_dial(company_of(request))
    named = request.POST.get("connection")
    if not named and (key := request.POST.get("call")):
        named = str(_named(request, Call, key).connection.uuid)
    return next((row for row in able if str(row.uuid) == named), able[0] if able else None)


def _own_extension(request: PortalRequest) -> str:
    """The extension that was chosen, else the signed-in person's own."""
    rows = mine(request, Extension).order_by("number")
    if chosen := request.POST.get("extension"):
        return rows.filter(number=chosen).values_list("number", flat=True).first() or ""
    if phone := browser_phones.of_this_browser(request):
        return phone.extension
    own = rows.filter(employee__user=request.user)
    return own.values_list("number", flat=True).first() or ""


def _choose_extension(request: PortalRequest, row: Connection, phone: str, named: dict[str, str]) -> HttpResponse:
    context = {
        **named,
        "title": _("Call %(phone)s") % {"phone": phones.of_client(phone)},
        "row": row,
        "extensions": mine(request, Extension).filter(employee__isnull=False).select_related("employee"),
        "next": request.POST.get("next", ""),
    }
    return portal.render(request, "portal/dial.html", context)


@portal.page("calls/<uuid:uuid>/hangup/", name="hangup", right=Right.WORK, posts=True)
def hangup(request: PortalRequest, uuid: UUID) -> HttpResponse:
    call = my(request, Call, uuid=uuid)
    try:
        commands.hangup(call, request.user)
    except OutboundError as error:
        messages.error(request, str(words.REFUSALS.get(error.code, error.words)))
    else:
        messages.success(request, _("The PBX was asked to end the call."))
    return back(request, reverse("portal:call", args=[call.uuid]))


# --- Recordings -------------------------------------------------------------------------------------------------------


def _recording(request: HttpRequest, uuid: UUID, recording: UUID) -> Recording:
    call = my(request, Call, uuid=uuid)
    row = call.recordings.filter(uuid=recording).first()
    if row is None:
        raise Http404
    return row


@portal.page("calls/<uuid:uuid>/recordings/<uuid:recording>", name="recording", right=Right.READ)
def recording(request: HttpRequest, uuid: UUID, recording: UUID) -> HttpResponseBase:
    """The player's source: for people who are signed in, without a link that could be passed on."""
    row = _recording(request, uuid, recording)
    if row.state != Recording.State.STORED:
        raise Http404
    return views.serve(request, row)


@portal.page(
    "calls/<uuid:uuid>/recordings/<uuid:recording>/request", name="recording_request", right=Right.WORK, posts=True
)
def recording_request(request: HttpRequest, uuid: UUID, recording: UUID) -> HttpResponse:
    """«Запросить запись»."""
    from .actors import fetch_recording

    row = _recording(request, uuid, recording)
    if recordings.request_again(row):
        fetch_recording.send(row.pk)
        messages.success(request, _("The recording was asked for. It appears here as soon as the PBX gives it."))
    else:
        messages.error(request, _("Your company's rule has deleted this recording: it is not asked for again."))
    return back(request, reverse("portal:call", args=[row.call.uuid]))


@portal.page(
    "calls/<uuid:uuid>/recordings/<uuid:recording>/revoke", name="recording_revoke", right=Right.MANAGE, posts=True
)
def recording_revoke(request: PortalRequest, uuid: UUID, recording: UUID) -> HttpResponse:
    """«Отозвать ссылки»."""
    row = _recording(request, uuid, recording)
    recordings.revoke(row, by=str(request.user))
    messages.success(request, _("Links to this recording that were given out no longer open."))
    return back(request, reverse("portal:call", args=[row.call.uuid]))


portal.in_menu(
    "connections",
    gettext_lazy("PBX connections"),
    "dialer_sip",
    group=SETTINGS,
    order=30,
    inside=(
        "connection",
        "connection_new",
        "connection_catalogue",
        "connection_users",
        "connection_numbers",
        "number_hours",
        "coverage",
        "self_test",
    ),
)

# They register their pages.
from . import catalogue_pages, history_pages, live_pages, phone_pages, planner_pages, report_pages  # noqa: E402, F401
