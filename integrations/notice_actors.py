"""Dramatiq's doors into notices, apart from the others because what they rest on knows those."""

from __future__ import annotations

import dramatiq
import structlog

from outbound.errors import OutboundError
from telephony.actors import LAST
from telephony.schedule import every

from . import chats, notices, telegram

log = structlog.get_logger(__name__)


@dramatiq.actor(queue_name="default", priority=LAST)
def look_for_notices() -> None:
    notices.look()
    for company_id in notices.to_tell():
        tell_of_notices.send(company_id)


@dramatiq.actor(queue_name="default", priority=LAST)
def tell_of_notices(company_id: int) -> None:
    notices.tell(company_id)


@dramatiq.actor(queue_name="default", priority=LAST)
def send_chat_message(message_id: int) -> None:
    chats.deliver(message_id)


@dramatiq.actor(queue_name="default", priority=LAST)
def listen_to_chats() -> None:
    try:
        chats.listen()
    except OutboundError as error:
        log.warning("Telegram cannot be asked what people write", error=error.words)


@every(seconds=60)
def watch_for_troubles() -> None:
    look_for_notices.send()


@every(seconds=10)
def ask_what_people_write() -> None:
    """Each question waits for nearly as long, so that somebody is heard at once."""
    if telegram.on():
        listen_to_chats.send()


@every(seconds=5)
def sweep_chat_messages() -> None:
    for message_id in chats.due() if telegram.on() else []:
        send_chat_message.send(message_id)


@every(seconds=86_400)
def forget_old_notices() -> None:
    notices.forget_old()
