"""Invitations: somebody is asked by e-mail to become a member, and accepts once."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from allauth.account.adapter import get_adapter
from allauth.core.internal import ratelimit
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone, translation

from .models import ApiKey, Company, Invitation, Membership, Role, User, invitation_ends
from .rights import Right, may

MOST = "50/d/key"
"""E-mails with invitations that one company may have sent."""


def roles_of(actor: Membership | None) -> list[str]:
    """The roles that somebody may give: an owner's is given by owners."""
    return [role for role in Role.values if role != Role.OWNER or may(actor, Right.OWN)]


def roles_of_key(key: ApiKey) -> list[str]:
    """The roles that a program may give: the first owner of a company is its partner's to name."""
    return [role for role in Role.values if role != Role.OWNER or key.partner_id]


@dataclass(frozen=True)
class Sent:
    """An invitation with the link that may be copied, which is known at this moment only."""

    invitation: Invitation
    link: str


def may_send(request: HttpRequest, company: Company) -> bool:
    """Counts against the company."""
    key = str(company.uuid)
    return bool(ratelimit.consume(request, app="employees", action="invite", config={"invite": MOST}, key=key))


def invite(request: HttpRequest, company: Company, email: str, role: str, *, by: User | ApiKey) -> Sent:
    """Ask somebody; whoever is asked already gets new links, and the old ones end."""
    mailed, shown = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    row, _made = Invitation.objects.update_or_create(
        company=company,
        email=email,
        accepted_at=None,
        defaults={
            "role": role,
            "invited_by": by if isinstance(by, User) else None,
            "invited_with": by if isinstance(by, ApiKey) else None,
            "expires_at": invitation_ends(),
            "mailed_digest": _digest(mailed),
            "shown_digest": _digest(shown),
        },
    )
    inviter = by if isinstance(by, User) else by.partner or company
    context = {"invitation": row, "link": _link(mailed), "inviter": inviter}
    with translation.override(company.language):
        get_adapter(request).send_mail("account/email/invitation", email, context)
    return Sent(row, _link(shown))


@dataclass(frozen=True)
class Found:
    """The invitation that a link leads to. `mailed`: whoever has the link reads the mail of its address."""

    invitation: Invitation
    mailed: bool

    @property
    def valid(self) -> bool:
        """Open, in time, and of somebody who may still give this role."""
        row = self.invitation
        if row.invited_with:
            return row.accepted_at is None and not row.expired and row.invited_with.works
        inviter = Membership.objects.filter(company=row.company, user=row.invited_by).first()
        allowed = may(inviter, Right.MANAGE) and row.role in roles_of(inviter)
        return row.accepted_at is None and not row.expired and allowed


def find(token: str) -> Found | None:
    digest = _digest(token)
    rows = Invitation.objects.select_related("company", "invited_by", "invited_with")
    if row := rows.filter(mailed_digest=digest).first():
        return Found(row, mailed=True)
    row = rows.filter(shown_digest=digest).first()
    return Found(row, mailed=False) if row else None


@transaction.atomic
def accept(invitation: Invitation, user: User) -> Membership | None:
    """The membership; nothing where somebody accepted it just before. Who is a member already stays what he is."""
    mine = Invitation.objects.filter(pk=invitation.pk, accepted_at=None).update(accepted_at=timezone.now())
    if not mine:
        return None
    row, _made = Membership.objects.get_or_create(
        company=invitation.company, user=user, defaults={"role": invitation.role}
    )
    return row


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def path_of(token: str) -> str:
    return reverse("account_invitation", args=[token])


def _link(token: str) -> str:
    return settings.PUBLIC_URL + path_of(token)
