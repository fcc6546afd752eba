"""Support's page of events that were not understood: by cause, over all companies, each tried again with one button."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from employees.models import User
from employees.sites import support

from . import actors, replays
from .models import Replay


@support.page("failed/", name="failed_events", title=gettext_lazy("Not understood"), icon="unknown_document", order=4)
def failed_events(request: HttpRequest) -> HttpResponse:
    """Causes, and replays with their progress; with the header `X-Part` the latter alone."""
    if request.headers.get("X-Part"):
        return support.render(request, "portal/desk/replays.html", {"replays": replays.shown()})
    context = {"title": _("Events that were not understood"), "causes": replays.causes(), "replays": replays.shown()}
    return support.render(request, "portal/desk/failed_events.html", context)


@support.page("failed/replay/", name="failed_events_replay")
def failed_events_replay(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    kind, event = request.POST.get("kind", ""), request.POST.get("event", "")
    row = None
    if kind in Replay.Kind.values and event.isdecimal():
        row = replays.start(Replay.Kind(kind), int(event), cast("User", request.user))
    if row is None:
        messages.warning(request, _("Nothing of this cause is left."))
    else:
        actors.replay_events.send(row.pk)
        text = ngettext("%(count)d event is tried again.", "%(count)d events are tried again.", row.total)
        messages.success(request, text % {"count": row.total})
    return redirect("support:failed_events")
