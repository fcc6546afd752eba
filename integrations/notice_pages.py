"""The portal's page of notices: what managers were told of, and whether they want it by e-mail."""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees.rights import Right
from employees.sites import PortalRequest, mine, portal

from .models import Notice, NoticeChoice

SHOWN = timedelta(days=30)
MOST = 100


class ChoiceForm(forms.ModelForm):
    class Meta:
        model = NoticeChoice
        fields = ["by_email"]
        labels = {"by_email": gettext_lazy("Send me notices by e-mail")}


@portal.page("notices/", name="notices", right=Right.MANAGE)
def notices(request: PortalRequest) -> HttpResponse:
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
    return portal.render(request, "portal/notices.html", context)


portal.in_menu("notices", gettext_lazy("Notices"), "notifications", group="", order=7)
