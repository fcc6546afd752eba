"""What we ask Binotel to do with calls.

Source: public clients. That a call may be transferred to an extension was seen in an older version of the API.
"""

from __future__ import annotations

from outbound.errors import Rejected
from telephony.providers.values import Model

from . import history, phones
from .api import WRONG_DATA, Api
from .events import call_of


class _Done(Model):
    pass


def dial(api: Api, *, extension: str, phone: str, line: str) -> None:
    """Call the employee first and the client second; answered at once, before the employee has picked up."""
    shown = {"pbxNumber": phones.written(line)} if line else {}
    api.ask(
        "calls/internal-number-to-external-number",
        _Done,
        internalNumber=phones.extension(extension),
        externalNumber=phones.written(phone),
        playbackWaiting=False,
        **{"async": True},
        **shown,
    )


def hangup(api: Api, *, leg: str) -> None:
    """End the whole call. What Binotel answers of one that is over is not documented: it is asked whether it is."""
    call = call_of(leg)
    try:
        api.ask("calls/hangup-call", _Done, generalCallID=call)
    except Rejected as error:
        if error.code != WRONG_DATA or history.goes_on(api, call):
            raise


def transfer(api: Api, *, leg: str, to: str) -> None:
    """There is one kind of transfer."""
    target = phones.written(to) if to.startswith("+") else phones.extension(to)
    api.ask("calls/attended-call-transfer", _Done, generalCallID=call_of(leg), externalNumber=target)
