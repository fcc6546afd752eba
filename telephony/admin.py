"""The support desk's lists of telephony: facts are shown, never changed, and no secret is among them."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.decorators import action, display

from employees.admin import FactAdmin, FactInline, SupportAdmin
from employees.sites import support

from . import inbox, passport
from .models import (
    Call,
    Command,
    Connection,
    Exchange,
    HistoryRun,
    InboxEvent,
    Participant,
    PbxWish,
    Recording,
    VirtualNumber,
)


@admin.register(Connection, site=support)
class ConnectionAdmin(SupportAdmin):
    icon = "dialer_sip"
    list_display = ["name", "company", "provider", "brand", "active", "clock_shift", "created_at"]
    list_filter = ["provider", "active", "company"]
    list_select_related = ["company"]
    search_fields = ["name", "company__name", "uuid"]
    fields = ["uuid", "company", "provider", "brand", "name", "active", "clock_shift", "created_at"]
    readonly_fields = ["uuid", "company", "provider", "brand", "created_at"]


@admin.register(VirtualNumber, site=support)
class VirtualNumberAdmin(FactAdmin):
    icon = "tag"
    list_display = ["number", "line_name", "connection", "company"]
    list_filter = ["company"]
    list_select_related = ["company", "connection"]
    search_fields = ["number", "line_name"]


@admin.register(PbxWish, site=support)
class PbxWishAdmin(SupportAdmin):
    """PBXs that customers looked for and did not find."""

    icon = "add_call"
    list_display = ["asked_at", "name", "site", "company", "asked_by", "done"]
    list_filter = ["done", "company"]
    list_select_related = ["company", "asked_by"]
    search_fields = ["name", "site", "words"]
    ordering = ["done", "-id"]
    fields = ["asked_at", "company", "asked_by", "name", "site", "words", "done"]
    readonly_fields = ["asked_at", "company", "asked_by", "name", "site", "words"]


class ParticipantInline(FactInline):
    model = Participant
    fields = ["extension", "employee", "state", "rang_at", "answered_at", "left_at"]
    readonly_fields = fields


@admin.register(Call, site=support)
class CallAdmin(FactAdmin):
    icon = "call_log"
    list_display = ["started_at", "passport_link", "company", "direction", "client_phone", "extension", "outcome"]
    list_filter = ["direction", "state", "outcome", "source", "connection__provider", "company"]
    list_select_related = ["company"]
    search_fields = ["client_phone", "virtual_number", "key", "uuid"]
    ordering = ["-started_at", "-id"]
    exclude = ["dialled_by"]
    inlines = [ParticipantInline]

    @display(description=_("passport"))
    def passport_link(self, call: Call) -> str:
        return format_html('<a class="cb-link" href="{}">{}</a>', reverse("support:call", args=[call.uuid]), _("open"))


@admin.register(InboxEvent, site=support)
class InboxEventAdmin(FactAdmin):
    """Events as they came, their bodies without secrets. Those that were not understood are parsed again from here."""

    icon = "inbox"
    list_display = ["received_at", "connection", "path", "state", "error"]
    list_filter = ["state", "connection__provider", "connection__company"]
    list_select_related = ["connection"]
    search_fields = ["path", "error"]
    ordering = ["-id"]
    fields = ["received_at", "connection", "path", "remote", "state", "error", "call", "readable"]
    readonly_fields = fields
    actions = ["parse_again"]

    @display(description=_("body"))
    def readable(self, event: InboxEvent) -> str:
        return format_html('<pre class="cb-pre">{}</pre>', passport.shown(event))

    @action(description=_("Parse again what was not understood"))
    def parse_again(self, request: HttpRequest, chosen: QuerySet[InboxEvent]) -> None:
        count = chosen.filter(state=InboxEvent.State.FAILED).update(state=InboxEvent.State.NEW, error="")
        while inbox.drain():
            pass
        text = ngettext("%(count)d event was parsed again.", "%(count)d events were parsed again.", count)
        messages.success(request, text % {"count": count})


@admin.register(Recording, site=support)
class RecordingAdmin(FactAdmin):
    icon = "graphic_eq"
    list_display = ["call", "state", "size", "attempts", "due_at", "error"]
    list_filter = ["state", "call__company"]
    list_select_related = ["call"]
    search_fields = ["uuid", "key"]
    ordering = ["-id"]
    exclude = ["vendor_url", "file", "revision"]


@admin.register(Command, site=support)
class CommandAdmin(FactAdmin):
    icon = "send"
    list_display = ["created_at", "company", "connection", "kind", "state", "error", "requested_by"]
    list_filter = ["kind", "state", "company"]
    list_select_related = ["company", "connection", "requested_by"]
    ordering = ["-id"]


@admin.register(HistoryRun, site=support)
class HistoryRunAdmin(FactAdmin):
    icon = "history"
    list_display = [
        "created_at",
        "company",
        "connection",
        "kind",
        "state",
        "since",
        "until",
        "found",
        "filled",
        "error",
    ]
    list_filter = ["kind", "state", "company"]
    list_select_related = ["company", "connection"]
    search_fields = ["connection__name", "error"]
    ordering = ["-id"]
    exclude = ["lease"]


@admin.register(Exchange, site=support)
class ExchangeAdmin(FactAdmin):
    """Requests to vendors and their answers, masked when they were written."""

    icon = "swap_horiz"
    list_display = ["at", "company", "vendor", "purpose", "method", "short_url", "status", "milliseconds", "error"]
    list_filter = ["vendor", "company"]
    list_select_related = ["company"]
    search_fields = ["url", "error"]
    ordering = ["-id"]

    @display(description=_("address"))
    def short_url(self, exchange: Exchange) -> str:
        return exchange.url[:80]
