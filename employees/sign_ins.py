"""Who signed in, and what people did to their way of signing in: written down with the other changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from allauth.account import signals
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from django.contrib.auth.signals import user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from . import audit
from .models import Change, User

LATELY = timedelta(days=30)
MOST = 100
FACTORS = {
    Authenticator.Type.TOTP: _("authenticator app"),
    Authenticator.Type.WEBAUTHN: _("passkey or security key"),
    Authenticator.Type.RECOVERY_CODES: _("recovery codes"),
}


@receiver(signals.user_logged_in)
def signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    audit.note_person(user, request, "sign_in", Change.Action.SIGNED_IN, [])


@receiver(user_login_failed)
def not_let_in(credentials: Mapping[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """A wrong password. Of an address that nobody has nothing is written, and the answer is the same."""
    email = str(credentials.get("email") or credentials.get("username") or "")
    if user := User.objects.filter(email__iexact=email, is_active=True).first():
        audit.note_refusal(user, request)


def refused_lately(user: User) -> list[Change]:
    """When and from where somebody was not let in as this person, the newest first."""
    since = timezone.now() - LATELY
    rows = Change.objects.filter(kind="sign_in", action=Change.Action.REFUSED, key=str(user.pk), at__gte=since)
    at_once = {(row.at.replace(microsecond=0), row.address): row for row in rows.order_by("-id")[:MOST]}
    return list(at_once.values())  # a row for each of his companies is one attempt


@receiver([signals.password_changed, signals.password_set, signals.password_reset])
def password_changed(request: HttpRequest, user: User, **__: Any) -> None:
    audit.note_person(user, request, "account", Change.Action.CHANGED, [audit.secret_line(_("password"))])


@receiver(signals.email_changed)
def email_changed(
    request: HttpRequest, user: User, from_email_address: EmailAddress | None, to_email_address: EmailAddress, **__: Any
) -> None:
    before = from_email_address.email if from_email_address else None
    line = audit.line(_("e-mail"), before, to_email_address.email)
    audit.note_person(user, request, "account", Change.Action.CHANGED, [line])


@receiver([authenticator_added, authenticator_removed])
def factor_changed(request: HttpRequest, user: User, authenticator: Authenticator, signal: Any, **__: Any) -> None:
    added = signal is authenticator_added
    line = audit.line(_factor(authenticator), audit.switch(not added), audit.switch(added))
    audit.note_person(user, request, "account", Change.Action.CHANGED, [line])


@receiver(authenticator_reset)
def factor_renewed(request: HttpRequest, user: User, authenticator: Authenticator, **__: Any) -> None:
    line = audit.secret_line(_factor(authenticator))
    audit.note_person(user, request, "account", Change.Action.CHANGED, [line])


def _factor(authenticator: Authenticator) -> Any:
    return FACTORS[Authenticator.Type(authenticator.type)]
