"""What Bitrix24 sends us, parsed at the edge.

PHP is behind it: an empty map comes as `[]`, numbers come as strings in one method and as numbers in the next, and what
is not there is null, "" or "0". Nothing here fails: what cannot be read is empty.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from crm_adapters.values import Number, Rows, Text, Wire, parse, text
from crm_adapters.values import rows as rows  # beside the models that it reads


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {str(number): each for number, each in enumerate(value)}
    return value if isinstance(value, dict) else {}


def _truth(value: Any) -> bool:
    return str(value).strip().lower() in ("1", "y", "yes", "true")


Mapping = Annotated[dict[str, Any], BeforeValidator(_mapping)]
Truth = Annotated[bool, BeforeValidator(_truth)]


class Failure(Wire):
    """`{"error": code, "error_description": words}`: the whole answer, or what became of one command of a batch."""

    error: Text = ""
    error_description: Text = ""


class Time(Wire):
    operating_reset_at: Number = 0


class BatchAnswer(Wire):
    result: Mapping = {}
    result_error: Mapping = {}
    result_next: Mapping = {}


class Registered(Wire):
    """The answer to `telephony.externalCall.register`."""

    CALL_ID: Text = ""
    CRM_CREATED_LEAD: Number = 0
    CRM_CREATED_ENTITIES: Rows = []
    CRM_ENTITY_TYPE: Text = ""
    CRM_ENTITY_ID: Number = 0
    LEAD_CREATION_ERROR: Text = ""


class Entity(Wire):
    ENTITY_TYPE: Text = ""
    ENTITY_ID: Number = 0


class Finished(Wire):
    """The answer to `telephony.externalCall.finish`, and a row of `voximplant.statistic.get`."""

    CALL_ID: Text = ""
    EXTERNAL_CALL_ID: Text = ""
    CRM_ACTIVITY_ID: Number = 0
    CRM_ENTITY_TYPE: Text = ""
    CRM_ENTITY_ID: Number = 0
    ERRORS: Mapping = {}


class Statistic(Finished):
    """A row of `voximplant.statistic.get`, with what tells calls apart."""

    CALL_TYPE: Text = ""
    CALL_START_DATE: Text = ""
    CALL_DURATION: Number = 0
    PHONE_NUMBER: Text = ""
    REST_APP_NAME: Text = ""


class Attached(Wire):
    """The answer to `telephony.externalCall.attachRecord`: a file, or where to send it."""

    FILE_ID: Number = 0
    uploadUrl: Text = ""  # noqa: N815 - Bitrix24's own name
    fieldName: Text = ""  # noqa: N815


class Manager(Wire):
    ID: Text = ""
    TIMEMAN_STATUS: Text = ""
    USER_PHONE_INNER: Text = ""


class Match(Wire):
    """A row of `telephony.externalCall.searchCrmEntities`."""

    CRM_ENTITY_TYPE: Text = ""
    CRM_ENTITY_ID: Text = ""
    ASSIGNED_BY_ID: Text = ""
    NAME: Text = ""
    ASSIGNED_BY: Mapping = {}

    @property
    def manager(self) -> Manager:
        return parse(Manager, self.ASSIGNED_BY)


class Deal(Wire):
    ID: Text = ""
    TITLE: Text = ""


class User(Wire):
    """A row of `user.get`."""

    ID: Text = ""
    ACTIVE: Truth = True
    NAME: Text = ""
    LAST_NAME: Text = ""
    EMAIL: Text = ""
    UF_PHONE_INNER: Text = ""
    WORK_PHONE: Text = ""
    PERSONAL_PHONE: Text = ""
    PERSONAL_MOBILE: Text = ""
    USER_TYPE: Text = ""


class Tokens(Wire):
    """The answer of the authorisation server. (Its `domain` is the server's own, not the portal's.)"""

    access_token: Text = ""
    refresh_token: Text = ""
    expires: Number = 0
    member_id: Text = ""


class AppInfo(Wire):
    """`app.info`: `CODE` and `INSTALLED` of the portal, `client_id` and `install` of the authorisation server."""

    CODE: Text = ""
    INSTALLED: Truth = False
    client_id: Text = ""
    user_id: Text = ""
    install: Mapping = {}

    @property
    def member_id(self) -> str:
        return text(self.install.get("member_id"))


class Profile(Wire):
    """`profile`: whose token it is."""

    ID: Text = ""


class PlacementForm(Wire):
    """What a page that is placed in the portal gets, in its query and its body."""

    LANG: Text = ""
    AUTH_ID: Text = ""
    APPLICATION_TOKEN: Text = ""
    member_id: Text = ""
    PLACEMENT: Text = ""


class EventAuth(Wire):
    """`auth[...]` of an event."""

    access_token: Text = ""
    refresh_token: Text = ""
    expires: Number = 0
    expires_in: Number = 0
    domain: Text = ""
    server_endpoint: Text = ""
    member_id: Text = ""
    application_token: Text = ""


class EventData(Wire):
    """`data[...]` of the telephony events."""

    PHONE_NUMBER: Text = ""
    PHONE_NUMBER_INTERNATIONAL: Text = ""
    EXTENSION: Text = ""
    USER_ID: Text = ""
    LINE_NUMBER: Text = ""
    CALL_ID: Text = ""
    CRM_ENTITY_TYPE: Text = ""
    CRM_ENTITY_ID: Number = 0


class EventForm(Wire):
    """The body of an event, PHP-nested."""

    event: Text = ""
    ts: Number = 0
    data: Mapping = {}
    auth: Mapping = {}
