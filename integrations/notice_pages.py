"""The portal's page of notices: what managers were told of, and how they want to be told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees.rights import Right
from employees.sites import PortalRequest, mine, portal

from . import chats, telegram, words
from .models import Chat, Notice, NoticeChoice

SHOWN = timedelta(days=30)
MOST = 100


class ChoiceForm(forms.ModelForm):
    class Meta:
        model = NoticeChoice
        fields = ["by_email", "by_telegram"]
        labels = {
            "by_email": gettext_lazy("Send me notices by e-mail"),
            "by_telegram": gettext_lazy("Send me notices by Telegram, where it is connected"),
        }

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not telegram.on():
            del self.fields["by_telegram"]


@portal.page("notices/", name="notices", right=Right.MANAGE)
def notices(request: PortalRequest) -> HttpResponse:
    """What goes on and was over; with the header `X-Part` only how the chat stands, which lives while it is linked."""
    if request.headers.get("X-Part"):
        return portal.render(request, "portal/parts/telegram.html", _chat(request))
    membership = request.membership
    choice = NoticeChoice.objects.filter(membership=membership).first() or NoticeChoice(membership=membership)
    form = ChoiceForm(request.POST if request.method == "POST" else None, instance=choice)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect("portal:notices")
    rows = mine(request, Notice).order_by("-opened_at")
    context = {
        "title": _("Notices"),
        "form": form,
        "email": membership.user.email,
        "going_on": rows.filter(closed_at=None)[:MOST],
        "over": rows.filter(closed_at__gt=timezone.now() - SHOWN)[:MOST],
    }
    return portal.render(request, "portal/notices.html", context | _chat(request))


def _chat(request: PortalRequest) -> dict[str, Any]:
    """Where the person's own chat stands; nothing of it is there for support on a visit."""
    if not telegram.on() or request.membership.user_id != request.user.pk:
        return {}
    chat = Chat.objects.filter(user=request.user).first()
    waiting = bool(chat and not chat.chat and chats.code_of(chat))
    link = chats.link_of(chat) if chat and waiting else ""
    error = words.ours(chat.error) if chat else ""
    return {"telegram": True, "chat": chat, "waiting": waiting, "link": link, "error": error}


@portal.page("notices/telegram/", name="notices_telegram", right=Right.MANAGE, posts=True)
def notices_telegram(request: PortalRequest) -> HttpResponse:
    """Link one's chat, try it, or let it go."""
    if request.membership.user_id != request.user.pk:
        raise PermissionDenied
    what = request.POST.get("do", "")
    if not telegram.on():
        messages.error(request, _("This installation has no bot in Telegram. Ask whoever runs it."))
    elif what == "link":
        chats.invite(request.user)
    elif what == "unlink":
        chats.unlink(request.user)
        messages.success(request, _("Telegram is not connected."))
    elif what == "test" and Chat.objects.filter(user=request.user, chat__isnull=False).exists():
        chats.queue([request.membership], _("This is a test: notices of Callbridge come here."))
        messages.success(request, _("The message is on its way; this page says when it came."))
    return redirect("portal:notices")


portal.in_menu("notices", gettext_lazy("Notices"), "notifications", group="", order=10)
