"""The support desk's view of the client books."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import TabularInline

from employees.admin import FactAdmin
from employees.sites import support

from .models import Client, ClientPhone, Comment, Task


class ClientPhoneInline(TabularInline):
    model = ClientPhone
    extra = 0
    fields = ["phone"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return support.has_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


@admin.register(Client, site=support)
class ClientAdmin(FactAdmin):
    icon = "contacts"
    list_display = ["name", "company", "organisation", "manager", "source", "seen_at"]
    list_filter = ["company"]
    list_select_related = ["company"]
    search_fields = ["name", "organisation", "phones__phone"]
    inlines = [ClientPhoneInline]


@admin.register(Comment, site=support)
class CommentAdmin(FactAdmin):
    icon = "comment"
    list_display = ["at", "company", "client_phone", "author", "text"]
    list_filter = ["company"]
    list_select_related = ["company", "author"]
    search_fields = ["client_phone", "text"]


@admin.register(Task, site=support)
class TaskAdmin(FactAdmin):
    icon = "task_alt"
    list_display = ["made_at", "company", "client_phone", "text", "due_at", "employee", "done_at"]
    list_filter = ["company"]
    list_select_related = ["company", "employee"]
    search_fields = ["client_phone", "text"]
