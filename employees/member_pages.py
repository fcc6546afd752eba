"""The portal's pages of members and of those who are invited."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import invitations, limits
from .models import Invitation, Membership, Role
from .rights import Right, last_owner
from .sites import PortalRequest, company_of, mine, my, portal


class InviteForm(forms.Form):
    email = forms.EmailField(label=gettext_lazy("E-mail"))
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=())

    def __init__(self, request: PortalRequest, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._request = request
        self.fields["role"].choices = _roles(request.membership)  # type: ignore[attr-defined]
        self.fields["role"].initial = Role.OPERATOR

    def clean_email(self) -> str:
        email = self.cleaned_data["email"].lower()
        if mine(self._request, Membership).filter(user__email=email).exists():
            raise forms.ValidationError(_("%(email)s is a member already.") % {"email": email})
        return email

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        if not _touchable_invitation(self._request, data["email"]):
            raise forms.ValidationError(_("Only an owner may do this."))
        if full := self._full(data["email"]):
            raise forms.ValidationError(full)
        if not invitations.may_send(self._request, company_of(self._request)):
            raise forms.ValidationError(TOO_MANY)
        return data

    def _full(self, email: str) -> str:
        """Whoever is invited already takes no further place."""
        invited = mine(self._request, Invitation).filter(accepted_at=None).exclude(email=email)
        return limits.reached(company_of(self._request), "most_members", mine(self._request, Membership), invited)


TOO_MANY = gettext_lazy("Your company has sent as many invitations as it may in a day. Try again tomorrow.")


def _roles(actor: Membership) -> list[tuple[str, Any]]:
    allowed = invitations.roles_of(actor)
    return [(value, label) for value, label in Role.choices if value in allowed]


def _touchable(actor: Membership, row: Membership | Invitation) -> bool:
    return row.role in invitations.roles_of(actor)


def _touchable_invitation(request: PortalRequest, email: str) -> bool:
    """Whoever may not give a role does not take the invitation to it back either."""
    open_ones = mine(request, Invitation).filter(email=email, accepted_at=None)
    return all(_touchable(request.membership, row) for row in open_ones)


@portal.page("members/", name="members", right=Right.MANAGE)
def members(request: PortalRequest) -> HttpResponse:
    form = InviteForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        email, role = form.cleaned_data["email"], form.cleaned_data["role"]
        sent = invitations.invite(request, company_of(request), email, role, by=request.user)
        return _page(request, InviteForm(request), sent)
    return _page(request, form)


def _page(request: PortalRequest, form: InviteForm, sent: invitations.Sent | None = None) -> HttpResponse:
    rows = list(mine(request, Membership).select_related("user").order_by("user__email"))
    invited = list(mine(request, Invitation).filter(accepted_at=None).select_related("invited_by"))
    row: Any
    for row in (*rows, *invited):
        row.touchable = _touchable(request.membership, row)
    context = {
        "title": _("Members"),
        "rows": rows,
        "invited": invited,
        "form": form,
        "roles": _roles(request.membership),
        "sent": sent,
    }
    return portal.render(request, "portal/members.html", context)


@portal.page("members/<int:pk>/", name="member", right=Right.MANAGE, posts=True)
def member(request: PortalRequest, pk: int) -> HttpResponse:
    """Change a role or (`remove`) take the membership away."""
    row = my(request, Membership, pk=pk)
    role = request.POST.get("role", "")
    removing = "remove" in request.POST
    if not _touchable(request.membership, row) or (not removing and role not in dict(_roles(request.membership))):
        messages.error(request, _("Only an owner may do this."))
    elif row.role == Role.OWNER and role != Role.OWNER and last_owner(row):
        messages.error(request, _("A company needs an owner: make somebody else one first."))
    elif removing:
        row.delete()
        messages.success(request, _("%(email)s is no longer a member.") % {"email": row.user.email})
    else:
        row.role = role
        row.save(update_fields=["role"])
        messages.success(request, _("Saved."))
    return redirect("portal:members")


@portal.page("members/invited/<uuid:uuid>/", name="member_invited", right=Right.MANAGE, posts=True)
def member_invited(request: PortalRequest, uuid: UUID) -> HttpResponse:
    """Send an invitation again, with new links, or (`revoke`) take it back."""
    row = my(request, Invitation, uuid=uuid, accepted_at=None)
    if not _touchable(request.membership, row):
        messages.error(request, _("Only an owner may do this."))
    elif "revoke" in request.POST:
        row.delete()
        messages.success(request, _("The invitation of %(email)s was taken back.") % {"email": row.email})
    elif not invitations.may_send(request, company_of(request)):
        messages.error(request, TOO_MANY)
    else:
        sent = invitations.invite(request, company_of(request), row.email, row.role, by=request.user)
        return _page(request, InviteForm(request), sent)
    return redirect("portal:members")
