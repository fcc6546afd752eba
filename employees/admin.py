"""The support desk's lists of people, and the base of all its lists."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm
from unfold.paginator import InfinitePaginator

from . import audit
from .models import (
    ApiKey,
    ApiRequest,
    Change,
    Company,
    Employee,
    EmployeePhone,
    Extension,
    Invitation,
    Membership,
    Partner,
    User,
)
from .sites import support


def _speak(model: type[Model]) -> None:
    """Fields without words of their own are named in the reader's language all the same."""
    for field in model._meta.fields:
        if isinstance(field.verbose_name, str):
            field.verbose_name = _(field.verbose_name)


class FactInline(TabularInline):
    """Rows inside another's page that support may look at and not change."""

    extra = 0
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return support.has_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SupportAdmin(ModelAdmin):
    """A list over all companies. Support may look at everything; what is set (`editable`) is changed by whoever has the
    model's permission (`support_groups` of `integrations`), facts by nobody."""

    editable = True
    list_per_page = 50
    show_full_result_count = False
    paginator = InfinitePaginator
    show_facets = admin.ShowFacets.NEVER
    icon = "table"

    def __init__(self, model: type[Model], admin_site: Any) -> None:
        super().__init__(model, admin_site)
        _speak(model)
        for inline in self.inlines:
            _speak(inline.model)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return support.has_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return support.has_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.editable and support.has_permission(request) and super().has_change_permission(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class FactAdmin(SupportAdmin):
    """Rows that happened: nobody changes them."""

    editable = False


class MembershipInline(TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ["user"]
    tab = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return support.has_permission(request)


@admin.register(Company, site=support)
class CompanyAdmin(SupportAdmin):
    icon = "apartment"
    list_display = ["name", "time_zone", "region", "language", "created_at"]
    search_fields = ["name"]
    readonly_fields = ["uuid", "created_at"]
    inlines = [MembershipInline]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return support.has_permission(request) and ModelAdmin.has_add_permission(self, request)


@admin.register(Partner, site=support)
class PartnerAdmin(SupportAdmin):
    icon = "handshake"
    list_display = ["name", "created_at", "api_keys"]
    search_fields = ["name"]
    fields = ["name", "colour", "origins", "uuid", "created_at"]
    readonly_fields = ["uuid", "created_at"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("employees.add_partner")

    @admin.display(description=_("API keys"))
    def api_keys(self, row: Partner) -> str:
        return format_html('<a href="{}">{}</a>', reverse("support:partner_keys", args=[row.uuid]), _("open"))


@admin.register(ApiKey, site=support)
class ApiKeyAdmin(FactAdmin):
    """Keys are made, replaced and revoked on pages of their own."""

    icon = "key"
    list_display = ["name", "prefix", "company", "partner", "last_used_at", "expires_at", "revoked_at"]
    list_select_related = ["company", "partner"]
    search_fields = ["name", "prefix", "company__name", "partner__name"]
    exclude = ["digest", "previous_digest"]


@admin.register(ApiRequest, site=support)
class ApiRequestAdmin(FactAdmin):
    icon = "receipt_long"
    list_display = ["at", "key", "company", "method", "path", "status", "code", "milliseconds", "address"]
    list_select_related = ["key", "company"]
    list_filter = ["method", "status"]
    search_fields = ["=request_id"]


@admin.register(User, site=support)
class UserAdmin(SupportAdmin):
    icon = "person"
    list_display = ["email", "first_name", "last_name", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active", "is_staff", ("memberships__company", admin.RelatedFieldListFilter)]
    search_fields = ["email", "first_name", "last_name"]
    fields = ["email", "first_name", "last_name", "is_active", "last_login", "date_joined"]
    readonly_fields = ["last_login", "date_joined"]
    change_password_form = AdminPasswordChangeForm
    actions = ["remove_second_factors"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Superusers say who is of support, and as what."""
        fields = super().get_fields(request, obj)
        return [*fields, "is_staff", "groups"] if getattr(request.user, "is_superuser", False) else fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Staff's own accounts are a matter of superusers."""
        if obj is not None and (obj.is_staff or obj.is_superuser) and not getattr(request.user, "is_superuser", False):
            return False
        return super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Support vouches for an address that it enters, see `employees.accounts`."""
        if "email" in form.changed_data:
            EmailAddress.objects.filter(user=obj).delete()
        super().save_model(request, obj, form, change)
        lines = [
            audit.line(form.fields[name].label, str(form.initial.get(name)), str(form.cleaned_data[name]))
            for name in form.changed_data
        ]
        audit.note_person(obj, request, "account", Change.Action.CHANGED, lines)

    @admin.action(description=_("Remove second factors"), permissions=["change"])
    def remove_second_factors(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        """Of somebody who has lost the device and the recovery codes, and has proven to support who he is."""
        mine = [user for user in chosen if self.has_change_permission(request, user)]
        for user in mine:
            if Authenticator.objects.filter(user=user).delete()[0]:
                line = audit.line(_("second factor"), audit.switch(True), audit.switch(False))
                audit.note_person(user, request, "account", Change.Action.CHANGED, [line])
        messages.success(request, _("Second factors were removed: %(people)s.") % {"people": ", ".join(map(str, mine))})


class PhoneInline(TabularInline):
    model = EmployeePhone
    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return support.has_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


@admin.register(Employee, site=support)
class EmployeeAdmin(SupportAdmin):
    icon = "badge"
    list_display = ["name", "company", "email"]
    list_filter = ["company"]
    list_select_related = ["company"]
    search_fields = ["name", "email"]
    readonly_fields = ["uuid", "company", "user"]
    inlines = [PhoneInline]


@admin.register(Extension, site=support)
class ExtensionAdmin(FactAdmin):
    icon = "dialpad"
    list_display = ["number", "company", "handling", "employee", "first_seen_at"]
    list_filter = ["handling", "company"]
    list_select_related = ["company", "employee"]
    search_fields = ["number", "name", "employee__name"]


@admin.register(Invitation, site=support)
class InvitationAdmin(FactAdmin):
    icon = "mail"
    list_display = ["email", "company", "role", "invited_by", "expires_at", "accepted_at"]
    list_filter = ["company"]
    list_select_related = ["company", "invited_by"]
    search_fields = ["email"]
    exclude = ["mailed_digest", "shown_digest"]


@admin.register(Change, site=support)
class ChangeAdmin(FactAdmin):
    icon = "history"
    list_display = ["at", "company", "actor_name", "address", "kind", "action", "subject"]
    list_filter = ["action", "kind", "company"]
    list_select_related = ["company"]
    search_fields = ["actor_name", "subject"]


admin.site.disable_action("delete_selected")
support.site_header = _("Callbridge")
