"""The credentials of a connection, in the words of the operators' cabinets: they are the same for all brands."""

from __future__ import annotations

from django import forms
from django.utils.translation import pgettext, pgettext_lazy

from .address import base_url


class ItoolabsForm(forms.Form):
    """Labels carry the context `iTooLabs Communications Server`: another vendor's "Key" is another word."""

    domain = forms.CharField(
        label=pgettext_lazy("iTooLabs Communications Server", "Address of your PBX"),
        help_text=pgettext_lazy("iTooLabs Communications Server", "As your cabinet shows it, like name.megapbx.ru"),
        max_length=300,
    )
    api_key = forms.CharField(
        label=pgettext_lazy("iTooLabs Communications Server", "Key for authorisation in your PBX"),
        widget=forms.PasswordInput,
        max_length=128,
    )
    crm_token = forms.CharField(
        label=pgettext_lazy("iTooLabs Communications Server", "Authorisation key"),
        help_text=pgettext_lazy(
            "iTooLabs Communications Server", "The key of your CRM: the PBX proves with it that it is yours"
        ),
        widget=forms.PasswordInput,
        max_length=128,
    )
    recorded = forms.ChoiceField(
        label=pgettext_lazy("iTooLabs Communications Server", "Conversations are recorded"),
        help_text=pgettext_lazy(
            "iTooLabs Communications Server", "If so, a recording that does not come with the call is asked for"
        ),
        choices=[
            ("yes", pgettext_lazy("iTooLabs Communications Server", "yes")),
            ("no", pgettext_lazy("iTooLabs Communications Server", "no")),
        ],
        initial="yes",
    )

    def clean_domain(self) -> str:
        try:
            return base_url(self.cleaned_data["domain"])
        except ValueError as error:
            words = pgettext(
                "iTooLabs Communications Server",
                "Copy the whole address of your PBX, with the name before the first dot.",
            )
            raise forms.ValidationError(words) from error
