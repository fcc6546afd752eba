"""Managers are told of a trouble once, by e-mail and in their chats with our bot, in their company's language, and once
more when it works again.

What is over within moments is not told at all, and a company gets one message for everything that there is to say, with
a quiet time before the next.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import F, Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from employees.models import Company, Membership, Role
from telephony import coverage
from telephony.hot import hot_write
from telephony.models import Connection, Listening
from telephony.silence import with_last_event

from . import chats, telegram, telling, troubles
from .models import CallSync, Credential, Notice, WebhookEndpoint
from .troubles import Trouble

log = structlog.get_logger(__name__)

SETTLE = timedelta(minutes=3)
QUIET = timedelta(minutes=30)
LEASE = timedelta(minutes=5)
"""After so long an e-mail that could not be sent is tried again."""
KEPT = timedelta(days=180)
READERS = (Role.OWNER, Role.ADMINISTRATOR)
Key = tuple[int, str]


# --- What there is ----------------------------------------------------------------------------------------------------


def look() -> None:
    """Open what is new, close what is over."""
    found = _found()
    known = {(row.company_id, row.cause): row for row in Notice.objects.filter(closed_at=None)}
    for key in found.keys() - known.keys():
        if found[key].grave:
            _open(found[key])
    for key in known.keys() & found.keys():
        _refresh(known[key], found[key])
    for key in known.keys() - found.keys():
        _close(known[key])


def _found() -> dict[Key, Trouble]:
    found: dict[Key, Trouble] = {}
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            for trouble in troubles.to_be_told(Company.objects.filter(language=language)):
                key = (trouble.company_id, trouble.cause)
                if key not in found or trouble.grave:
                    found[key] = trouble
    return found


def _open(trouble: Trouble) -> None:
    """Once, whoever else looks at this moment."""
    what = {"text": trouble.text, "link": trouble.link}
    with hot_write():
        row, new = Notice.objects.get_or_create(
            company_id=trouble.company_id, cause=trouble.cause, closed_at=None, defaults=what
        )
        if new:
            telling.tell_of_trouble(row)


def _refresh(row: Notice, trouble: Trouble) -> None:
    if (row.text, row.link) != (trouble.text, trouble.link):
        Notice.objects.filter(pk=row.pk).update(text=trouble.text, link=trouble.link)


def _close(row: Notice) -> None:
    kind, _colon, what = row.cause.partition(":")
    if kind == "unwritten" and _is_under_way(what):
        return  # somebody pressed the button: it is over when the calls are there
    mended = WORKS[kind](row, what)
    with hot_write():
        closed = Notice.objects.filter(pk=row.pk, closed_at=None).update(closed_at=timezone.now(), mended=mended)
        if closed and mended:
            telling.tell_of_trouble(row, over=True)


def _is_under_way(what: str) -> bool:
    uuid, _colon, cause = what.partition(":")
    rows = CallSync.objects.filter(credential__uuid=uuid, cause=cause, state=CallSync.State.WANTED)
    return rows.filter(wanted__gt=F("noted")).exclude(failed_at=None).exists()


# --- Whether it works again, or was only taken away -------------------------------------------------------------------


def _account_works(row: Notice, uuid: str) -> bool:
    return Credential.objects.filter(uuid=uuid, state=Credential.State.READY).exists()


def _line_works(row: Notice, uuid: str) -> bool:
    return Listening.objects.filter(connection__uuid=uuid, connection__active=True).exclude(up_since=None).exists()


def _pbx_speaks(row: Notice, uuid: str) -> bool:
    return with_last_event(Connection.objects.filter(uuid=uuid)).filter(last_event__gt=row.opened_at).exists()


def _day_is_whole(row: Notice, what: str) -> bool:
    uuid, _colon, day = what.partition(":")
    connection = Connection.objects.filter(uuid=uuid, active=True).select_related("company").first()
    return connection is not None and not coverage.absent(connection, date.fromisoformat(day))


def _nothing_waits(row: Notice, what: str) -> bool:
    return True


def _webhook_works(row: Notice, uuid: str) -> bool:
    return WebhookEndpoint.objects.filter(uuid=uuid, active=True).exists()


def _calls_are_written(row: Notice, what: str) -> bool:
    return Credential.objects.filter(uuid=what.partition(":")[0]).exists()


WORKS: dict[str, Callable[[Notice, str], bool]] = {
    "account": _account_works,
    "line": _line_works,
    "silent": _pbx_speaks,
    "storage": _nothing_waits,
    "coverage": _day_is_whole,
    "unwritten": _calls_are_written,
    "webhook": _webhook_works,
}


# --- Telling ----------------------------------------------------------------------------------------------------------


def to_tell() -> list[int]:
    """The companies that there is something to say to, and that have had their quiet."""
    quiet_since = timezone.now() - QUIET
    lately = Notice.objects.filter(Q(told_at__gt=quiet_since) | Q(end_told_at__gt=quiet_since)).values("company")
    rows = _untold().exclude(company__in=lately)
    return list(rows.order_by().values_list("company", flat=True).distinct())


def _untold() -> QuerySet[Notice]:
    now = timezone.now()
    begun = Q(closed_at=None, told_at=None, opened_at__lt=now - SETTLE)
    over = Q(mended=True, end_told_at=None, told_at__isnull=False)
    return Notice.objects.filter(begun | over).filter(Q(lease_until=None) | Q(lease_until__lt=now))


def tell(company_id: int) -> bool:
    """One message to each manager in each way that he wants; True when it is told. What reaches nobody is tried again
    later."""
    with hot_write():
        rows = list(_untold().filter(company=company_id).select_related("company").order_by("opened_at"))
        Notice.objects.filter(pk__in=[row.pk for row in rows]).update(lease_until=timezone.now() + LEASE)
    if not rows or not _send(rows[0].company, rows):
        return False
    now = timezone.now()
    told = Notice.objects.filter(pk__in=[row.pk for row in rows])
    told.exclude(closed_at=None).update(end_told_at=now, lease_until=None)
    told.filter(told_at=None).update(told_at=now, lease_until=None)
    return True


def _send(company: Company, rows: list[Notice]) -> bool:
    """By e-mail at once; chats' messages are written down, and workers see them through."""
    with translation.override(company.language):
        letters = [_letter(company, rows, member.user.email) for member in readers(company)]
        message = render_to_string("mail/notices.txt", _context(company, rows)).strip()
    reached = [letter for letter in letters if _sent(letter)]
    queued = chats.queue(chatting(company), message)
    return bool(reached or queued) or not letters


def readers(company: Company) -> QuerySet[Membership]:
    """Who is told by e-mail."""
    return _managers(company).exclude(notice_choice__by_email=False)


def chatting(company: Company) -> QuerySet[Membership]:
    """Who is told in his chat."""
    if not telegram.on():
        return Membership.objects.none()
    return _managers(company).exclude(notice_choice__by_telegram=False).filter(user__chat__chat__isnull=False)


def _managers(company: Company) -> QuerySet[Membership]:
    rows = company.memberships.filter(role__in=READERS, user__is_active=True)
    return rows.select_related("user").order_by("pk")


def _sent(letter: EmailMultiAlternatives) -> bool:
    try:
        return bool(letter.send())
    except OSError as error:  # SMTP's errors are such
        log.warning("a notice could not be sent", error=f"{type(error).__name__}: {error}")
        return False


def _letter(company: Company, rows: list[Notice], to: str) -> EmailMultiAlternatives:
    context = _context(company, rows)
    subject = _subject(context["begun"], context["over"])
    letter = EmailMultiAlternatives(subject, render_to_string("mail/notices.txt", context), to=[to])
    letter.attach_alternative(render_to_string("mail/notices.html", context), "text/html")
    return letter


def _context(company: Company, rows: list[Notice]) -> dict[str, Any]:
    begun = [row for row in rows if row.closed_at is None]
    over = [row for row in rows if row.closed_at]
    return {"company": company, "begun": begun, "over": over, "site": settings.PUBLIC_URL}


def _subject(begun: list[Notice], over: list[Notice]) -> str:
    if len(begun) == 1:
        text = begun[0].text
    elif begun:
        text = ngettext("%(count)d thing needs you", "%(count)d things need you", len(begun)) % {"count": len(begun)}
    else:
        text = _("It works again: %(what)s") % {"what": over[0].text}
    return "Callbridge: " + Truncator(" ".join(text.split())).chars(100)


def forget_old() -> None:
    Notice.objects.filter(closed_at__lt=timezone.now() - KEPT).delete()
