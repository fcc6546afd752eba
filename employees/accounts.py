"""How signing in, signing up and proving oneself (django-allauth) behave here."""

from __future__ import annotations

from smtplib import SMTPException
from typing import Any

import structlog
from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import LoginForm, SignupForm
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.core.internal import ratelimit
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from encrypted_model_fields.fields import decrypt_str, encrypt_str

from .audit import address_of
from .models import User

log = structlog.get_logger(__name__)


def at_home(user: User) -> str:
    """Where somebody begins: the portal, the support desk, or nowhere."""
    if user.memberships.exists():
        return "/"
    return reverse("support:index") if user.is_staff else ""


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": _("This e-mail and password do not fit together."),
        "too_many_login_attempts": _("Too many failed attempts. Try again in 15 minutes."),
    }

    # --- Who may come in

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return settings.SIGN_UP

    def pre_login(self, request: HttpRequest, user: Any, **known: Any) -> HttpResponse | None:
        """Whom somebody in charge has made (`provision`, support) is vouched for: signing up leaves an address."""
        if not EmailAddress.objects.filter(user=user).exists():
            EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
        return super().pre_login(request, user, **known)

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Success forgets the failures with this e-mail from this address, but not all those from the address."""
        user = super().authenticate(request, **credentials)
        if user:
            own = app_settings.RATE_LIMITS["login_failed"].split(",")[0]
            ratelimit.clear(
                request,
                app="allauth.account",
                action="login_failed",
                config={"login_failed": own},
                key=self._get_login_attempts_cache_key(request, **credentials),
            )
        return user

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Who guesses locks himself out and nobody else."""
        return f"{address_of(request)}|{super()._get_login_attempts_cache_key(request, **credentials)}"

    # --- Where they go

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return at_home(request.user) or settings.LOGIN_URL  # type: ignore[arg-type]

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        return reverse("account_company")

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("usersessions_list")

    def is_safe_url(self, url: str) -> bool:
        """A page of ours, under the name that was asked for."""
        request = context.request
        return url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure())

    # --- What they are sent

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """A mail server that is down is told, and stops nobody who does not need the e-mail."""
        try:
            super().send_mail(template_prefix, email, context)
        except (OSError, SMTPException) as error:
            log.error("an e-mail was not sent", template=template_prefix, error=type(error).__name__)
            if self.request:
                messages.error(self.request, _("The e-mail could not be sent just now. Try again in some minutes."))


class MfaAdapter(DefaultMFAAdapter):
    """Secrets of second factors are encrypted as all others are."""

    def encrypt(self, text: str) -> str:
        return encrypt_str(text).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return decrypt_str(encrypted_text)


# --- Forms ------------------------------------------------------------------------------------------------------------


class SignInForm(LoginForm):
    """E-mail and password, as `email` and `password`."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["login"].label = _("E-mail")
        self.fields["login"].widget.attrs.update(autocomplete="username", autofocus=True)
        self.fields["password"].help_text = ""
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)

    def add_prefix(self, field_name: str) -> str:
        return super().add_prefix("email" if field_name == "login" else field_name)


class SignUpForm(SignupForm):
    first_name = forms.CharField(
        label=_("Full name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    field_order = ["first_name", "email", "password1"]

    def __init__(self, *args: Any, invited: str = "", **kwargs: Any):
        """`invited`: the e-mail that the invitation is for."""
        super().__init__(*args, **kwargs)
        self.fields["email"].label = _("E-mail")
        self.fields["password1"].help_text = _("At least 8 characters; not a common one, and not your name or e-mail.")
        if invited:
            self.fields["email"].initial, self.fields["email"].disabled = invited, True
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)

    @transaction.atomic
    def save(self, request: HttpRequest) -> Any:
        """The person and his address, which is not proven yet, or neither (see `AccountAdapter.pre_login`)."""
        return super().save(request)


class AddPasskeyForm(AddWebAuthnForm):
    """A key that signs in without a password, unless one wants it as a second factor only."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["name"].label = _("Name")
        self.fields["passwordless"].label = _("Sign in with it instead of the password")
        self.fields["passwordless"].initial = True
