"""What telephony tells and asks the rooms above it, which it does not know."""

from django.dispatch import Signal

calls_changed = Signal()
"""`calls`: list of changed `Call`s with `people` (participants), `audio` (recordings) and `changes` (names of fields
that just changed; `audio` when a recording can be fetched, or by a new link) attached. Sent in the transaction that
changes them."""

call_absorbed = Signal()
"""`whole`, `part`: what was told as a call of its own turned out to be a part of another. Sent in the transaction that
joins them; the part is deleted right after."""

dials_refused = Signal()
"""`commands`: ids of dials that the PBX had taken, and of which it says now that it did not carry them out; no call has
come of them. Sent in the transaction that notes it."""

routing_question = Signal()
"""`caller` (`routing.Caller`), `deadline` (seconds left): whose client is this? Receivers return a `routing.Opinion` or
None."""
