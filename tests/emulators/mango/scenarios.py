"""What happens in each kind of call: the order of events of the protocol page, section by section."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .simulator import Call, CallSpec, Command, Leg, Script

HANGUP = ("hangup",)
RINGING = ("hangup", "route")
TALKING = ("hangup", "transfer", "hold")
CONSULTING = ("hangup", "transfer_cancel", "calls_connect")
UNANSWERED = {"busy": 1121, "no_answer": 1111, "caller_hung_up": 1110}


def _hung_up(call: Call, command: Command) -> None:
    """A hang-up ends the whole call."""
    call.end_all(command.reason)
    call.result(command)


def _parting(call: Call) -> int:
    """Who hangs up: 1110 the caller, 1120 the callee – or as the spec's sample says."""
    return 1110 if call.spec.hangup_by == "client" else 1120


async def _talk(call: Call, leg: Leg) -> None:
    """The conversation, until its time is over or a command ends or moves it."""
    left = call.spec.talk_seconds
    while True:
        before = call.now
        command = await call.pause(left, TALKING, call.spec.talk_window)
        left -= call.now - before
        if command is None:
            return call.end(leg, _parting(call))
        if command.kind == "hangup":
            return _hung_up(call, command)
        call.result(command)
        if command.kind == "transfer":
            move = _consult if command.method == "hold" else _blind
            return await move(call, leg, command.target)
        call.emit(leg, "OnHold", hold_initiator=True)
        await call.pause(5)
        call.emit(leg, "Connected")


async def _consult(call: Call, leg: Leg, target: str) -> None:
    """Consultation: OnHold, a second leg from the employee, and at his hang-up a second Connected with the client."""
    call.emit(leg, "OnHold", hold_initiator=True)
    await call.pause(1)
    initiator = call.employee_party(leg.extension, leg)
    second = call.leg("abonent", initiator, _target_party(call, target), transfer="consultative")
    command = await call.pause(call.spec.second_ring_seconds, CONSULTING)
    if command is None and call.spec.second_answers:
        call.connect(second, talk=False)
        command = await call.pause(call.spec.consult_seconds, CONSULTING)
    elif command is None:
        command = Command("transfer_cancel", reason=1111)
    if command and command.kind == "hangup":
        return _hung_up(call, command)
    if command and command.kind == "transfer_cancel":
        call.end(second, command.reason)
        call.result(command)
        call.emit(leg, "Connected")
        return await _talk(call, leg)
    call.end(leg, 1120, was_transferred=False)
    if command:
        call.result(command)
    second.from_, second.extra = call.client_party(leg), {"transfer": "blind"}
    call.connect(second)
    await _talk(call, second)


async def _blind(call: Call, leg: Leg, target: str) -> None:
    """Blind transfer; when nobody answers the call returns to the initiator (`return_blind`)."""
    initiator = leg.extension
    call.end(leg, 1120, was_transferred=True)
    second = call.leg("abonent", call.client_party(leg), _target_party(call, target), transfer="blind")
    command = await call.pause(call.spec.second_ring_seconds, HANGUP)
    if command is None and not call.spec.second_answers:
        call.end(second, 1111)
        back = call.employee_party(initiator)
        second = call.leg("abonent", call.client_party(second), back, transfer="return_blind")
        command = await call.pause(call.spec.second_ring_seconds, HANGUP)
    if command:
        return _hung_up(call, command)
    call.connect(second)
    await _talk(call, second)


def _target_party(call: Call, target: str) -> dict[str, Any]:
    """An employee by extension, anything else as a number."""
    return call.employee_party(target) if call.account.employee(target) else {"number": target}


async def _ring(call: Call, leg: Leg) -> None:
    """An employee (or the number of a route) rings; a route takes the leg away before the answer."""
    command = await call.pause(call.spec.ring_seconds, RINGING, call.spec.route_window if _direct(call, leg) else None)
    if command and command.kind == "route":
        call.end(leg, 1100)
        return await _forward(call, leg, command.target, command)
    if command:
        return _hung_up(call, command)
    if call.spec.outcome != "answered":
        return call.end(leg, UNANSWERED.get(call.spec.outcome, 1111))
    call.connect(leg)
    call.summary_to = _plain(leg.to)
    await _talk(call, leg)


def _direct(call: Call, leg: Leg) -> bool:
    return call.legs[0] is leg and call.direction == 1


def _plain(party: dict[str, Any]) -> dict[str, Any]:
    return {name: party[name] for name in ("extension", "number") if name in party}


async def _forward(call: Call, previous: Leg, target: str, command: Command | None = None) -> None:
    """To an employee, a group or an outer number; born from a route, the leg carries its command_id."""
    call.forward_time = call.now
    command_id = command.command_id if command else ""
    if group := call.account.group(target):
        queue = call.leg("queue", call.client_party(previous), call.line_party(acd_group=target), command_id=command_id)
        if command:
            call.result(command)
        return await _queue(call, queue, group.members)
    if call.account.employee(target) or target == call.spec.extension:
        party = call.employee_party(target, line_number=call.line)
    else:
        party = {"number": target, "line_number": call.line}
    leg = call.leg("abonent", call.client_party(previous), party, command_id=command_id)
    if command:
        call.result(command)
    call.summary_to = _plain(party)
    await _ring(call, leg)


async def _queue(call: Call, queue: Leg, members: list[str]) -> None:
    """A group: every member rings, `second` answers, the others end with 1182 while the call lives."""
    group = queue.to["acd_group"]
    rung: list[Leg] = []
    command = await call.pause(1, ("route",), call.spec.route_window)
    if command is None:
        call.forward_time = call.now
        for extension in members:
            party = call.employee_party(extension, line_number=call.line, acd_group=group)
            rung.append(call.leg("abonent", call.client_party(queue), party))
        call.summary_to = {"extension": rung[0].to["extension"]} if rung else {}
        command = await call.pause(call.spec.ring_seconds, RINGING)
    if command and command.kind == "route":
        call.end_all(1100)
        return await _forward(call, queue, command.target, command)
    if command:
        return _hung_up(call, command)
    if call.spec.outcome != "answered" or not rung:
        call.forward_time = 0.0
        reason = UNANSWERED.get(call.spec.outcome, 1163)
        for leg in (*rung, queue):
            call.end(leg, 1163 if leg is queue and reason == 1111 else reason)
        return None
    winner = next((leg for leg in rung if leg.extension == call.spec.second), rung[-1])
    call.connect(winner)
    for leg in rung:
        if leg is not winner:
            call.end(leg, 1182)
    call.end(queue, 1100)
    call.summary_to = _plain(winner.to)
    await _talk(call, winner)


async def incoming_ivr(call: Call) -> None:
    """Greeting (location ivr), where `commands/route` is honoured; then the scheme's own employee."""
    call.summary_from = call.client_party()
    leg = call.leg("ivr", call.client_party(), call.line_party())
    command: Command | None = None
    spent = 0.0
    for seq, (after, digits) in enumerate(call.spec.dtmf, start=1):
        command = command or await call.pause(float(after) - spent, RINGING)
        spent = float(after)
        if command is None:
            call.dtmf(leg, seq, str(digits), "ivr" if seq == 1 else f"ivr.{seq - 1}")
    if command is None:
        left = max(call.spec.greeting_seconds - spent, 0)
        command = await call.pause(left, RINGING, call.spec.route_window)
    if command and command.kind == "hangup":
        return _hung_up(call, command)
    if command is None and call.spec.outcome == "died_in_ivr":
        # The documentation's own example of this case has entry_result 1 and a forward_time, though nobody talked.
        call.forward_time, call.entry_result = call.created + 2, 1
        return call.end(leg, 1170)
    if command is None and call.spec.outcome == "left_ivr":
        return call.end(leg, 1110)
    call.end(leg, 1100)
    await _forward(call, leg, command.target if command else call.spec.extension, command)
    if not call.talk_time:
        call.forward_time = 0.0


async def incoming_direct(call: Call) -> None:
    """The line of one employee, without IVR."""
    call.summary_from = call.client_party()
    party = call.employee_party(call.spec.extension, line_number=call.line)
    leg = call.leg("abonent", call.client_party(), party)
    call.summary_to = _plain(party)
    await _ring(call, leg)
    call.forward_time = (call.forward_time or call.created) if call.talk_time else 0.0


async def incoming_group(call: Call) -> None:
    """Queue leg and one leg for each operator."""
    call.summary_from = call.client_party()
    queue = call.leg("queue", call.client_party(), call.line_party(acd_group=call.spec.group))
    group = call.account.group(call.spec.group)
    await _queue(call, queue, group.members if group else [])


async def outgoing(call: Call) -> None:
    """An employee dials from his phone; forward_time is the creation."""
    call.direction, call.forward_time = 2, call.created
    call.summary_from, call.summary_to = call.employee_party(call.spec.extension), {"number": call.client}
    leg = call.leg("abonent", call.summary_from, {"number": call.client, "line_number": call.line})
    await _outer_party(call, leg)


async def _outer_party(call: Call, leg: Leg) -> None:
    command = await call.pause(call.spec.ring_seconds, HANGUP)
    if command:
        return _hung_up(call, command)
    if call.spec.outcome != "answered":
        return call.end(leg, UNANSWERED.get(call.spec.outcome, 1111))
    call.connect(leg)
    await _talk(call, leg)


async def internal(call: Call) -> None:
    """Both sides have an extension, no line."""
    call.direction, call.forward_time, call.client = 0, call.created, ""
    call.summary_from, call.summary_to = call.employee_party(call.spec.extension), call.employee_party(call.spec.second)
    leg = call.leg("abonent", call.summary_from, call.summary_to)
    await _outer_party(call, leg)


async def callback(call: Call) -> None:
    """Click-to-call: the employee rings first with `from` = client; all legs carry the command_id."""
    spec = call.spec
    call.direction, call.forward_time = 2, call.created
    call.summary_from, call.summary_to = call.employee_party(spec.extension), {"number": call.client}
    marks = {"command_id": spec.command_id, "callback_initiator": spec.callback_initiator or "API"}
    call.result(Command("callback", spec.command_id))
    first = call.leg("abonent", call.client_party(), call.employee_party(spec.extension), **marks)
    if command := await call.pause(spec.employee_ring_seconds, HANGUP):
        return _hung_up(call, command)
    if not spec.employee_answers:
        return call.end(first, 1111)
    call.connect(first, talk=False)
    if command := await call.pause(1, HANGUP):
        return _hung_up(call, command)
    call.end(first, 1100)
    party = call.employee_party(spec.extension, first)
    await _outer_party(call, call.leg("abonent", party, {"number": call.client, "line_number": call.line}, **marks))


async def callback_group(call: Call) -> None:
    """`commands/callback_group`: `second` = "client": the client rings first, otherwise the group."""
    spec = call.spec
    call.direction, call.forward_time = 2, call.created
    call.summary_from, call.summary_to = call.employee_party(spec.extension), {"number": call.client}
    marks: dict[str, Any] = {"command_id": spec.command_id, "callback_initiator": "API"}
    call.result(Command("callback_group", spec.command_id))
    member = call.employee_party(spec.extension, acd_group=spec.group)
    outer = {"number": call.client, "line_number": call.line}
    sides = (member, outer) if spec.second == "client" else (call.client_party(), member)
    first = call.leg("abonent", *sides, **marks)
    if command := await call.pause(spec.employee_ring_seconds, HANGUP):
        return _hung_up(call, command)
    call.connect(first, talk=False)
    call.end(first, 1100)
    if spec.second == "client":
        leg = call.leg("abonent", call.client_party(first), member, **marks)
    else:
        leg = call.leg("abonent", call.employee_party(spec.extension, first), outer, **marks)
    await _outer_party(call, leg)


async def transfer_consult(call: Call) -> None:
    """Answered direct, then a transfer with consultation by phone."""
    await _transferred(call, _consult)


async def transfer_blind(call: Call) -> None:
    """Answered direct, then a blind transfer by phone."""
    await _transferred(call, _blind)


async def _transferred(call: Call, move: Any) -> None:
    call.summary_from, call.forward_time = call.client_party(), call.created
    party = call.employee_party(call.spec.extension, line_number=call.line)
    leg = call.leg("abonent", call.client_party(), party)
    call.summary_to = _plain(party)
    if command := await call.pause(call.spec.ring_seconds, HANGUP):
        return _hung_up(call, command)
    call.connect(leg)
    if command := await call.pause(call.spec.before_transfer_seconds, HANGUP):
        return _hung_up(call, command)
    await move(call, leg, call.spec.second)


SCENARIOS: dict[str, tuple[Script, dict[str, Any]]] = {
    "incoming_ivr": (incoming_ivr, {}),
    "incoming_direct": (incoming_direct, {}),
    "incoming_group": (incoming_group, {"hangup_by": "employee"}),
    "missed": (incoming_group, {"outcome": "caller_hung_up", "ring_seconds": 25}),
    "missed_direct": (incoming_direct, {"outcome": "caller_hung_up", "ring_seconds": 20}),
    "missed_timeout": (incoming_direct, {"outcome": "no_answer", "ring_seconds": 30}),
    "busy": (incoming_direct, {"outcome": "busy", "ring_seconds": 1}),
    "died_in_ivr": (incoming_ivr, {"outcome": "died_in_ivr", "greeting_seconds": 14}),
    "left_ivr": (incoming_ivr, {"outcome": "left_ivr", "greeting_seconds": 9}),
    "ivr_dtmf": (incoming_ivr, {"dtmf": [[8, "1"], [20, "4512"]], "greeting_seconds": 25}),
    "outgoing": (outgoing, {}),
    "outgoing_no_answer": (outgoing, {"outcome": "no_answer", "ring_seconds": 30}),
    "outgoing_busy": (outgoing, {"outcome": "busy", "ring_seconds": 3}),
    "callback": (callback, {"hangup_by": "employee"}),
    "callback_group": (callback_group, {}),
    "internal": (internal, {"hangup_by": "employee"}),
    "transfer_consult": (transfer_consult, {"second": "103"}),
    "transfer_blind": (transfer_blind, {"second": "103"}),
    "transfer_blind_return": (transfer_blind, {"second": "103", "second_answers": False}),
    "unknown_extension": (incoming_direct, {"extension": "199"}),
    "hidden_number": (incoming_direct, {"client": ""}),
    "late_recording": (outgoing, {"extension": "102", "record": True, "record_delay": 63, "linked": False}),
    "call_tracking": (incoming_ivr, {"dct": "74950000077"}),
    "out_of_order": (incoming_direct, {"delivery": {"order": [1, 0, 1, 3, 2]}}),
}


def prepare(scenario: str, values: dict[str, Any]) -> tuple[Script, CallSpec]:
    """The script and the full spec of a scenario; given values win over the scenario's own."""
    if scenario not in SCENARIOS:
        raise ValueError(f"unknown scenario {scenario!r}; known: {', '.join(sorted(SCENARIOS))}")
    unknown = set(values) - set(CallSpec.__dataclass_fields__)
    if unknown:
        raise ValueError(f"unknown fields {sorted(unknown)}")
    script, preset = SCENARIOS[scenario]
    return script, replace(CallSpec(scenario=scenario), **{**preset, **values, "scenario": scenario})
