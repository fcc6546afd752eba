"""The support desk's lists of integrations, and its passport of a call."""

from __future__ import annotations

import zoneinfo
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.decorators import action, display

from employees.admin import FactAdmin, FactInline, SupportAdmin
from employees.sites import support
from outbound.masking import mask
from telephony.models import Call
from telephony.passport import mask_fields

from . import actors, crm_events, payloads, replays
from .models import (
    CallSync,
    CardWrite,
    Credential,
    CrmEvent,
    EmployeeMapping,
    Export,
    Integration,
    Notice,
    Visit,
    VisitChange,
    WebhookDelivery,
    WebhookEndpoint,
)


@admin.register(Credential, site=support)
class CredentialAdmin(FactAdmin):
    icon = "key"
    list_display = ["__str__", "company", "crm", "domain", "state", "state_words", "created_at"]
    list_filter = ["crm", "state", "company"]
    list_select_related = ["company"]
    search_fields = ["name", "domain", "company__name"]
    fields = ["uuid", "company", "crm", "name", "domain", "state", "state_words", "created_at"]
    readonly_fields = fields


class VisitChangeInline(FactInline):
    model = VisitChange
    fields = ["at", "path", "status"]
    readonly_fields = fields


class MappingInline(FactInline):
    model = EmployeeMapping
    fields = ["employee", "crm_user", "crm_user_name", "use_for_personal_manager"]
    readonly_fields = fields


@admin.register(Integration, site=support)
class IntegrationAdmin(SupportAdmin):
    """Support may switch an integration on and off; its settings belong to the customer."""

    icon = "hub"
    list_display = ["__str__", "company", "credential", "active", "filter_numbers", "updated_at"]
    list_filter = ["active", "credential__crm", "company"]
    list_select_related = ["company", "credential"]
    search_fields = ["name", "company__name", "credential__name", "credential__domain"]
    fields = ["uuid", "company", "name", "credential", "connections", "active", "filter_numbers", "numbers", "settings"]
    readonly_fields = ["uuid", "company", "name", "credential", "connections", "filter_numbers", "numbers", "settings"]
    inlines = [MappingInline]


@admin.register(CallSync, site=support)
class CallSyncAdmin(FactAdmin):
    icon = "sync"
    list_display = ["call", "credential", "state", "reason", "parked", "attempts", "error_kind", "error"]
    list_filter = ["state", "parked", "error_kind", "reason", "credential__crm", "credential__company"]
    list_select_related = ["call", "credential"]
    search_fields = ["call__client_phone", "call__uuid", "error"]
    ordering = ["-id"]
    actions = ["retry"]
    actions_list = ["by_cause"]

    @action(description=_("Not written, by cause"), icon="sync_problem")
    def by_cause(self, request: HttpRequest) -> HttpResponse:
        return redirect("support:unwritten")

    @action(description=_("Try again now"))
    def retry(self, request: HttpRequest, chosen: QuerySet[CallSync]) -> None:
        count = actors.retry(CallSync.objects.filter(pk__in=list(chosen.values_list("pk", flat=True))))
        text = ngettext("%(count)d call is tried again.", "%(count)d calls are tried again.", count)
        messages.success(request, text % {"count": count})


@admin.register(Export, site=support)
class ExportAdmin(FactAdmin):
    icon = "download"
    list_display = ["created_at", "company", "asked_by", "format", "state", "rows", "attempts", "error"]
    list_filter = ["state", "format", "company"]
    list_select_related = ["company", "asked_by"]
    ordering = ["-id"]
    exclude = ["file", "lease", "lease_until"]


@admin.register(CrmEvent, site=support)
class CrmEventAdmin(FactAdmin):
    icon = "move_to_inbox"
    list_display = ["received_at", "credential", "path", "state", "told", "attempts", "not_before"]
    list_filter = ["state", "credential__crm", "credential__company"]
    list_select_related = ["credential"]
    ordering = ["-id"]
    fields = ["received_at", "credential", "path", "state", "told", "attempts", "not_before", "command", "readable"]
    readonly_fields = fields
    actions = ["try_again"]

    @action(description=_("Try again what failed"))
    def try_again(self, request: HttpRequest, chosen: QuerySet[CrmEvent]) -> None:
        count = replays.renew(CrmEvent.objects.filter(pk__in=list(chosen.values_list("pk", flat=True))))
        text = ngettext("%(count)d event is tried again.", "%(count)d events are tried again.", count)
        messages.success(request, text % {"count": count})

    @display(description=_("what came of it"))
    def told(self, event: CrmEvent) -> str:
        return crm_events.in_words(event)

    @display(description=_("body"))
    def readable(self, event: CrmEvent) -> str:
        adapter = event.credential.adapter
        text = mask_fields(mask(adapter.shown(event.wire), event.credential.secret_values), adapter.secret_fields)
        return format_html('<pre class="cb-pre">{}</pre>', text)


@admin.register(WebhookEndpoint, site=support)
class WebhookEndpointAdmin(FactAdmin):
    """Its address may hold a key, so we see the host alone."""

    icon = "webhook"
    list_display = ["__str__", "company", "host", "active", "off_reason", "failing_since", "delivered_at", "deleted_at"]
    list_filter = ["active", "off_reason", "company"]
    list_select_related = ["company"]
    search_fields = ["name", "host", "company__name"]
    ordering = ["-id"]
    fields = [
        "uuid",
        "company",
        "name",
        "host",
        "kinds",
        "connections",
        "active",
        "off_at",
        "off_reason",
        "failing_since",
        "failures",
        "open_at",
        "delivered_at",
        "created_at",
        "deleted_at",
    ]
    readonly_fields = fields


@admin.register(WebhookDelivery, site=support)
class WebhookDeliveryAdmin(FactAdmin):
    icon = "outbox"
    list_display = ["created_at", "endpoint", "kind", "state", "attempts", "status", "error", "due_at"]
    list_filter = ["state", "kind", "endpoint__company"]
    list_select_related = ["endpoint"]
    search_fields = ["endpoint__name", "endpoint__host"]
    ordering = ["-id"]
    fields = ["created_at", "endpoint", "message_id", "kind", "state", "attempts", "due_at", "tried_at", "status"]
    fields += ["answer", "error", "history", "readable"]
    readonly_fields = fields

    @display(description=_("body"))
    def readable(self, row: WebhookDelivery) -> str:
        return format_html('<pre class="cb-pre">{}</pre>', payloads.shown(row.body))


@support.page("calls/<uuid:uuid>/", name="call")
def passport_page(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The passport as support sees it: of any company, with the adapter's notes."""
    from .portal import passport_context

    row = get_object_or_404(Call.objects.select_related("company", "connection"), uuid=uuid)
    template = "portal/parts/passport.html" if request.headers.get("X-Part") else "portal/call.html"
    with timezone.override(zoneinfo.ZoneInfo(row.company.time_zone)):
        return support.render(request, template, passport_context(row))


@admin.register(Visit, site=support)
class VisitAdmin(FactAdmin):
    """Who of us looked at whose portal, as whom, when, why and from where."""

    icon = "visibility"
    list_display = ["began_at", "by_email", "company", "member_email", "reason", "listens", "writes_since", "over_at"]
    list_filter = ["company"]
    list_select_related = ["company"]
    search_fields = ["by_email", "member_email", "company__name"]
    ordering = ["-id"]
    exclude = ["membership", "by"]
    inlines = [VisitChangeInline]


@admin.register(CardWrite, site=support)
class CardWriteAdmin(FactAdmin):
    icon = "edit_note"
    list_display = ["created_at", "company", "integration", "kind", "state", "words"]
    list_filter = ["state", "kind", "company"]
    list_select_related = ["company", "integration__credential"]
    search_fields = ["client_phone", "words"]
    ordering = ["-id"]
    exclude = ["token"]


@admin.register(Notice, site=support)
class NoticeAdmin(FactAdmin):
    icon = "notifications"
    list_display = ["opened_at", "company", "text", "told_at", "closed_at", "mended", "end_told_at"]
    list_filter = ["mended", "company"]
    list_select_related = ["company"]
    search_fields = ["text"]
    ordering = ["-id"]
    exclude = ["link", "lease_until"]
