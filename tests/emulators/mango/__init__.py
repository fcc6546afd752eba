"""A strict emulator of the Mango Office virtual PBX (VPBX API) for tests, fault tests, benchmark and demonstration.

with MangoEmulator(api_key=..., api_salt=..., hub_url="http://127.0.0.1:8000/hooks/mango/<token>/") as emu:
    call = emu.call("incoming_ivr", client="79000000001", talk_seconds=5, record=True).wait()
    assert call.truth()["outcome"] == "answered" and not emu.violations
"""

from .account import Account, Employee, Group, Line, Violation
from .delivery import Delivery
from .emulator import MangoEmulator
from .scenarios import SCENARIOS
from .simulator import Call, CallSpec

__all__ = [
    "SCENARIOS",
    "Account",
    "Call",
    "CallSpec",
    "Delivery",
    "Employee",
    "Group",
    "Line",
    "MangoEmulator",
    "Violation",
]
