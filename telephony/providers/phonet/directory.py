"""What Phonet knows of a company: its employees. (Its numbers cannot be listed.)

Source: the vendor's HTTPS API v4.1, as public clients quote it.
"""

from __future__ import annotations

from pydantic import Field

from telephony.providers.base import PbxUser
from telephony.providers.values import Model, Text

from .api import Api, items


class _User(Model):
    id: Text = ""
    name: Text = Field("", alias="displayName")
    ext: Text = ""
    email: Text = ""


def users(api: Api) -> list[PbxUser]:
    found = items(api.get("rest/users"), _User)
    return [PbxUser(name=row.name, extension=row.ext, email=row.email, vendor_id=row.id) for row in found]
