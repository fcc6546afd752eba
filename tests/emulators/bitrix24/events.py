"""Events to the product: PHP-nested forms, at most once, never repeated."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Any

from . import oauth
from .portal import Portal
from .telephony import start_from_portal
from .wire import ApiError, build_php, phone_key

Deliver = Callable[[str, bytes], int]


class Events:
    """Sends the events of the portals to the handlers that are bound to them."""

    def __init__(self, deliver: Deliver, server_url: Callable[[], str]) -> None:
        self._deliver = deliver
        self._server_url = server_url

    async def fire(
        self, portal: Portal, event: str, data: dict[str, Any], auth: dict[str, Any], handlers: Iterable[str] = ()
    ) -> list[int | None]:
        """One POST to each handler; what the handler answered, or None. There is no second attempt."""
        bound = [b["handler"] for b in portal.bindings if b["event"] == event and b["event_type"] == "online"]
        now = int(portal.clock())
        statuses: list[int | None] = []
        for number, url in enumerate(dict.fromkeys([*handlers, *bound]), 1053):
            ids = {} if event.startswith("ONAPP") else {"event_handler_id": number}
            form = {"event": event, **ids, "data": data, "ts": now, "auth": auth}
            try:
                status: int | None = await asyncio.to_thread(self._deliver, url, build_php(form).encode())
            except Exception as error:
                status = None
                portal.deliveries.append({"event": event, "url": url, "at": portal.clock(), "failed": str(error)})
            else:
                portal.deliveries.append({"event": event, "url": url, "at": portal.clock(), "status": status})
            statuses.append(status)
        return statuses

    def auth(self, portal: Portal, tokens: dict[str, Any] | None = None) -> dict[str, Any]:
        """There is no signature: `application_token` of this `member_id` is the only proof."""
        block = {
            "domain": portal.base_url.partition("://")[2],
            "server_endpoint": f"{self._server_url()}/rest/",
            "client_endpoint": f"{portal.base_url}/rest/",
            "member_id": portal.config.member_id,
            "application_token": portal.application_token,
        }
        return block | (tokens or {})

    def user_auth(self, portal: Portal, user_id: int) -> dict[str, Any]:
        """The token of the user who clicked: not for the integration's own work."""
        token = portal.issue(user_id, "event")
        lasts = portal.config.token_seconds
        block = {"access_token": token.value, "expires_in": lasts, "scope": ",".join(portal.config.scopes)}
        return self.auth(portal, block | {"status": "L"})

    def installer_auth(self, portal: Portal) -> dict[str, Any]:
        full = oauth.issue(portal, portal.admin_id, "", "")
        names = ("access_token", "refresh_token", "expires_in", "scope", "status")
        return self.auth(portal, {name: full[name] for name in names})

    async def call_start(self, portal: Portal, user_id: int, phone: str, line: str = "") -> dict[str, Any]:
        """ONEXTERNALCALLSTART: the call (TYPE 1) is already registered when the event comes."""
        user = portal.active_user(user_id)
        if user is None or not phone_key(phone):
            raise ApiError("ERROR_CORE", "User is not found or is not active, or a bad number", 400, expected=True)
        call = start_from_portal(portal, user, phone, line, portal.clock())
        data = {
            "PHONE_NUMBER": phone,
            "PHONE_NUMBER_INTERNATIONAL": "+" + phone_key(phone),
            "EXTENSION": "",
            "USER_ID": user_id,
            "CALL_LIST_ID": 0,
            "LINE_NUMBER": line,
            "IS_MOBILE": 0,
            "CALL_ID": call.call_id,
            "CRM_ENTITY_TYPE": call.crm_type,
            "CRM_ENTITY_ID": call.crm_id or 0,
        }
        statuses = await self.fire(portal, "ONEXTERNALCALLSTART", data, self.user_auth(portal, user_id))
        return {"call_id": call.call_id, "statuses": statuses}

    async def callback_start(
        self, portal: Portal, phone: str, line: str = "", crm_type: str = "", crm_id: int = 0, text: str = ""
    ) -> dict[str, Any]:
        """ONEXTERNALCALLBACKSTART: without CALL_ID and USER_ID."""
        data = {
            "PHONE_NUMBER": phone,
            "TEXT": text or "A callback was ordered on the site",
            "VOICE": "ruinternalfemale",
            "CRM_ENTITY_TYPE": crm_type,
            "CRM_ENTITY_ID": crm_id,
            "LINE_NUMBER": line,
        }
        auth = self.user_auth(portal, portal.admin_id)
        return {"statuses": await self.fire(portal, "ONEXTERNALCALLBACKSTART", data, auth)}

    async def app_install(self, portal: Portal, handler: str = "") -> dict[str, Any]:
        """ONAPPINSTALL goes to the "initial installation path", with full tokens."""
        portal.installed = True
        data = {"VERSION": 1, "ACTIVE": "Y", "INSTALLED": "Y", "LANGUAGE_ID": "ru"}
        target = handler or portal.config.install_handler
        handlers = [target] if target else []
        return {"statuses": await self.fire(portal, "ONAPPINSTALL", data, self.installer_auth(portal), handlers)}

    async def app_update(self, portal: Portal) -> dict[str, Any]:
        """ONAPPUPDATE brings a new application_token; the bindings vanish."""
        portal.application_token = os.urandom(16).hex()
        data = {"VERSION": 2, "PREVIOUS_VERSION": 1, "LANGUAGE_ID": "ru"}
        handlers = [b["handler"] for b in portal.bindings if b["event"] == "ONAPPUPDATE"]
        portal.bindings = []
        return {"statuses": await self.fire(portal, "ONAPPUPDATE", data, self.installer_auth(portal), handlers)}

    async def app_uninstall(self, portal: Portal, clean: int = 1) -> dict[str, Any]:
        """ONAPPUNINSTALL has no tokens; those that were given are dead."""
        handlers = [b["handler"] for b in portal.bindings if b["event"] == "ONAPPUNINSTALL"]
        portal.installed = False
        portal.bindings = []
        portal.tokens.clear()
        portal.refresh_tokens.clear()
        data = {"LANGUAGE_ID": "ru", "CLEAN": clean}
        return {"statuses": await self.fire(portal, "ONAPPUNINSTALL", data, self.auth(portal), handlers)}
