"""What the codes of integrations mean, in words: why a call is or is not in a CRM, and how calls were forwarded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy

from crm_adapters import registry
from telephony.words import DECISIONS as TELEPHONY_DECISIONS
from telephony.words import ERRORS as VENDOR_ERRORS
from telephony.words import PURPOSES as PBX_PURPOSES
from telephony.words import fill, in_words, ours

REASONS: dict[str, Any] = {
    "imported": gettext_lazy("Imported from the PBX's history into the journal alone, as was chosen."),
    "internal_call": gettext_lazy("An internal call between employees: such calls are not written into a CRM."),
    "employee_phone": gettext_lazy(
        "%(phone)s stands in an employee's card: calls with employees' own phones are private and are not written."
    ),
    "number_not_in_list": gettext_lazy(
        "The call came by %(number)s, and this number is not in the integration's list of virtual numbers."
    ),
    "unknown_extension": gettext_lazy("Waits for your decision about the extension %(extensions)s: whose is it?"),
    "extension_ignored": gettext_lazy("Calls of the extension %(extensions)s are ignored on purpose."),
    "left_unwritten": gettext_lazy(
        "Somebody decided about the extension %(extensions)s later, and chose to leave the calls before unwritten."
    ),
    "confirmed": gettext_lazy(
        "The answer to the last write was lost. Somebody has looked and said that the CRM has this call."
    ),
    "cleaned": gettext_lazy("This was a test call, and it was cleaned up: nothing more of it is written."),
    "hidden_number": gettext_lazy("The caller hid his number, and this CRM takes no call without a number."),
}
"""Why a call is not written (`CallSync.reason`)."""

UNWANTED: dict[str, Any] = {
    "imported": gettext_lazy("imported into the journal alone"),
    "internal_call": gettext_lazy("internal calls"),
    "employee_phone": gettext_lazy("with employees' own phones"),
    "number_not_in_list": gettext_lazy("by numbers that are not in the list"),
    "extension_ignored": gettext_lazy("ignored extensions"),
    "left_unwritten": gettext_lazy("left unwritten by a decision"),
    "cleaned": gettext_lazy("test calls that were cleaned up"),
    "hidden_number": gettext_lazy("hidden numbers"),
}
"""The same in short, for how many calls of a day are not written."""

ROUTING: dict[str, Any] = {
    "manager_found": gettext_lazy("%(client)s belongs to a manager: forwarded to extension %(extension)s."),
    "client_named": gettext_lazy("%(client)s calls: the PBX was told the name."),
    "nobody_known": gettext_lazy("Nobody is known under this number, so nobody to forward to."),
    "no_manager": gettext_lazy("%(client)s has no responsible manager in the CRM."),
    "manager_not_mapped": gettext_lazy(
        "The manager of %(client)s (user %(manager)s in the CRM) is not mapped to an employee."
    ),
    "manager_excluded": gettext_lazy(
        "The manager of %(client)s (user %(manager)s in the CRM) is not used to find the personal manager."
    ),
    "manager_without_extension": gettext_lazy(
        "The manager of %(client)s (user %(manager)s in the CRM) has no extension."
    ),
    "manager_without_phone": gettext_lazy(
        "The manager of %(client)s has no phone in his card, and this PBX forwards to phones only."
    ),
    "employee_phone": gettext_lazy("An employee's own phone is calling: such calls are not forwarded."),
    "crm_no_time": gettext_lazy("No time was left to ask the CRM before the greeting ended."),
    "crm_temporary": gettext_lazy("The CRM could not be reached in time to ask whose client this is."),
    "crm_rate_limited": gettext_lazy(
        "The CRM's limit of requests was used up, so it was not asked whose client this is."
    ),
    "crm_credentials": gettext_lazy("The CRM does not accept the keys, so it could not be asked whose client this is."),
    "crm_token_expired": gettext_lazy("The CRM's token was over and could not be renewed in time."),
    "crm_rejected": gettext_lazy("The CRM refused to say whose client this is."),
    "crm_vendor_fault": gettext_lazy("The CRM's answer to whose client this is was none."),
    "crm_address_refused": gettext_lazy("The CRM's address leads into a closed network."),
    "crm_deadline": gettext_lazy("The CRM did not say in time whose client this is."),
}
"""Codes of opinions about who shall take a call."""

DECISIONS: dict[str, Any] = {**TELEPHONY_DECISIONS, **ROUTING}

ERRORS: dict[str, Any] = {
    **VENDOR_ERRORS,
    "doubt": gettext_lazy("an answer was lost, and the CRM cannot tell whether the step was made"),
}
"""Kinds of errors of a step (`CallSync.error_kind`)."""

OUTCOMES: dict[str, Any] = {
    "connected": gettext_lazy("The account is connected."),
    "disconnected": gettext_lazy("The application was removed in the CRM."),
    "overtaken": gettext_lazy("The account was connected again since then: nothing was changed."),
    "repeated": gettext_lazy("The CRM repeated an earlier event: there was nothing more to do."),
    "dialled": gettext_lazy("Extension %(extension)s rings, then %(phone)s is dialled."),
    "no_pbx": gettext_lazy("Not dialled: no active integration of this account has a PBX that can dial."),
    "nobody_mapped": gettext_lazy(
        "Not dialled: user %(user)s of the CRM is not mapped to an employee with an extension."
    ),
    "no_extension": gettext_lazy("Not dialled: nobody here has the extension %(extension)s."),
    "client_changed": gettext_lazy("What the CRM knows of a client has changed."),
    "clicked_twice": gettext_lazy("Not dialled once more: the same number was clicked twice."),
    "no_phone": gettext_lazy("Not dialled: %(phone)s is not a phone number."),
    "too_late": gettext_lazy("Not dialled: too much time had passed since the click."),
    "pbx_refused": gettext_lazy("Not dialled: the PBX refused: %(words)s"),
    "doubt": gettext_lazy("Nobody knows whether the PBX dialled: its answer was lost. It was not asked again."),
}
"""What came of an event of a CRM (`CrmEvent.outcome`)."""

STEPS: dict[str, Any] = {
    "known_to_crm": gettext_lazy("Looked up whether the CRM knows the client"),
    "pop_up_late": gettext_lazy("The card was left out: it would have come too late"),
    "removed": gettext_lazy("Removed from the CRM"),
}
"""Names of steps that the house makes in an adapter's place (`Adapter.step_titles` has the adapter's own)."""

PURPOSES: dict[str, Any] = {
    **PBX_PURPOSES,
    "look": gettext_lazy("Looking up what was written"),
    "client look-up": gettext_lazy("Whose client is this?"),
    "set-up": gettext_lazy("Set-up in the CRM"),
    "list": gettext_lazy("What the CRM has to choose from"),
    "event": gettext_lazy("An event of the CRM"),
    "radar": gettext_lazy("Looking who else writes calls"),
    "refused dial": gettext_lazy("Telling the CRM that a call was not made"),
    "connect": gettext_lazy("Connecting the account"),
    "clean-up": gettext_lazy("Cleaning up after a test call"),
    "call card": gettext_lazy("Written from the call card"),
    "client's fields": gettext_lazy("The client's fields for the call card"),
    "phone": gettext_lazy("Whose phone in the browser is this?"),
}
"""What an exchange with a vendor was for."""


REPEATS: dict[str, Any] = {
    "key": gettext_lazy("If the answer is lost, it is simply sent again: the CRM makes nothing twice of it."),
    "look": gettext_lazy("If the answer is lost, we look first whether it was done, and only then repeat."),
    "stop": gettext_lazy("If the answer is lost, it is not repeated: this CRM cannot tell, and a person decides."),
}
"""How a step is made exactly once (`crm_adapters.base.Repeat`)."""


def reason(crm: str, code: str, details: Mapping[str, Any]) -> str:
    """Why a call is not written into this CRM."""
    return in_words({**REASONS, **{code: full for code, (full, _short) in _own(crm).items()}}, code, details)


def unwanted(crm: str, code: str) -> str:
    """The same in short, for how many calls of a day are not written."""
    return in_words({**UNWANTED, **{code: short for code, (_full, short) in _own(crm).items()}}, code)


def _own(crm: str) -> Mapping[str, tuple[Any, Any]]:
    adapter = registry.all_adapters().get(crm)
    return adapter.reasons if adapter else {}


def steps(crm: str) -> dict[str, Any]:
    """Titles of the steps that calls take into this CRM, by their names."""
    adapter = registry.all_adapters().get(crm)
    return {**STEPS, **adapter.step_titles} if adapter else STEPS


def spoken(words: str | list[Any]) -> str:
    """The words of a step as they are stored (`crm_adapters.base.Done`), in the reader's language."""
    listed = [words] if isinstance(words, str) else words
    told = (ours(each) if isinstance(each, str) else fill(ours(each[0]), each[1]) for each in listed)
    return "; ".join(filter(None, told))
