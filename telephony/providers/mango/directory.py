"""What Mango knows of a company: its employees, its numbers, and who was shown a call-tracking number.

Source: official document of the VPBX API v1.9; where it leaves the nesting open, both are read.
"""

from __future__ import annotations

from typing import Annotated, Any

from outbound.errors import Rejected
from telephony.providers.base import PbxNumber, PbxUser, Visitor
from telephony.providers.values import EmptyObject, Integer, Model, Text

from . import codes
from .api import Api
from .limits import Kind

_UTM = ("source", "medium", "campaign", "content", "term")


# --- Employees --------------------------------------------------------------------------------------------------------


class _General(Model):
    name: Text = ""
    email: Text = ""
    mobile: Text = ""
    user_id: Text = ""


class _Telephony(Model):
    extension: Text = ""


class _User(Model):
    general: Annotated[_General, EmptyObject] = _General()
    telephony: Annotated[_Telephony, EmptyObject] = _Telephony()


class _Users(Model):
    users: list[_User]


def users(api: Api) -> list[PbxUser]:
    """All employees; without `ext_fields` Mango leaves out their ids."""
    wanted = {"ext_fields": ["general.user_id", "general.mobile", "general.use_status", "groups", "telephony.dial_alg"]}
    answer = api.ask(Kind.USERS, "config/users/request", wanted, _Users)
    return [_user(user) for user in answer.users]


def _user(user: _User) -> PbxUser:
    general = user.general
    return PbxUser(
        name=general.name,
        extension=user.telephony.extension,
        email=general.email,
        mobile=general.mobile,
        vendor_id=general.user_id,
    )


# --- Numbers ----------------------------------------------------------------------------------------------------------


class _Line(Model):
    number: Text = ""
    name: Text = ""
    comment: Text = ""


class _Lines(Model):
    result: Integer
    lines: list[_Line] = []


def numbers(api: Api) -> list[PbxNumber]:
    """The incoming lines. SIP lines have a name, others at best a comment; numbers of SIP trunks are not among them."""
    answer = api.ask(Kind.LINES, "incominglines", {}, _Lines, normal={codes.NO_OBJECT})
    return [PbxNumber(line.number, line.name or line.comment) for line in answer.lines if line.number]


# --- Call tracking ----------------------------------------------------------------------------------------------------


class _Channel(Model):
    source: Text = ""
    medium: Text = ""
    campaign: Text = ""
    content: Text = ""
    term: Text = ""


class _Place(Model):
    city: Text = ""


class _Page(Model):
    url: Text = ""


class _Visitor(Model):
    uid: Text = ""
    channel: Annotated[_Channel, EmptyObject] = _Channel()
    location: Annotated[_Place, EmptyObject] = _Place()
    current_page: Annotated[_Page, EmptyObject] = _Page()


class _Tracked(_Visitor):
    data: Annotated[_Visitor, EmptyObject] = _Visitor()


def visitor(api: Api, tracking_number: str) -> Visitor | None:
    """Who is bound to the number now: it is handed to the next visitor soon after the call."""
    number = tracking_number.removeprefix("+")
    if not number.isascii() or not number.isdecimal():
        raise Rejected(f"not sent to Mango: {tracking_number!r} is no number", code="invalid")
    try:
        answer = api.ask(Kind.TRACKING, "queries/user_info_by_dct_number", {"number": number}, _Tracked)
    except Rejected as error:
        if codes.means(error, codes.NO_OBJECT):
            return None
        raise
    return _found(answer.data) or _found(answer)


def _found(visitor: _Visitor) -> Visitor | None:
    told: dict[str, Any] = visitor.channel.model_dump()
    utm = {f"utm_{name}": told[name] for name in _UTM if told[name]}
    page, city = visitor.current_page.url, visitor.location.city
    return Visitor(utm=utm, page=page, city=city) if utm or page or city or visitor.uid else None
