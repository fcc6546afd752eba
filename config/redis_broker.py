"""The queue in Redis. A module of its own, because the embedded product does without Redis and its client."""

from __future__ import annotations

from typing import Any

import redis
from dramatiq import Message
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed

FULL_SECONDS = 0.02


class PromptRedisBroker(RedisBroker):
    """Redis with a word to idle workers when something is put into a queue: the library's own look only now and then,
    which is long for a pop-up, and looking more often costs a processor that has nothing to do."""

    @property
    def consumer_class(self) -> type[PromptConsumer]:
        return PromptConsumer

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        enqueued = super().enqueue(message, delay=delay)
        self.client.publish(self.channel(enqueued.queue_name), "")
        return enqueued

    def channel(self, queue_name: str) -> str:
        return f"{self.namespace}:{queue_name}:prompt"


class PromptConsumer(_RedisConsumer):
    """Sleeps until it is told of a message, at most for the library's own idle time."""

    def __init__(self, broker: PromptRedisBroker, queue_name: str, prefetch: int, timeout: int):
        super().__init__(broker, queue_name, prefetch, timeout=0)  # type: ignore[no-untyped-call]
        self._idle = timeout / 1000
        self._words = broker.client.pubsub(ignore_subscribe_messages=True)
        self._words.subscribe(broker.channel(queue_name))

    def __next__(self) -> MessageProxy | None:
        message: MessageProxy | None = super().__next__()  # type: ignore[no-untyped-call]
        if message is None:
            # A full worker waits for room, which nobody announces.
            full = self.outstanding_message_count >= self.prefetch
            try:
                self._words.get_message(timeout=FULL_SECONDS if full else self._idle)
            except redis.ConnectionError as error:
                raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        return message

    def close(self) -> None:
        self._words.close()
        super().close()
