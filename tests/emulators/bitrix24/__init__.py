"""A strict emulator of a Bitrix24 cloud portal (REST v2: telephony, CRM, users, chat, OAuth) on loopback HTTP."""

from .face import Emulator
from .portal import Client, ManualClock, Portal, PortalConfig, User
from .server import Bitrix24Emulator

__all__ = ["Bitrix24Emulator", "Client", "Emulator", "ManualClock", "Portal", "PortalConfig", "User"]
