"""What the client book tells the rooms above it, which it does not know."""

from django.dispatch import Signal

client_created = Signal()
"""`client`: a `Client` that the book did not have before, known under `phone` (E.164). Sent in the transaction that
makes it."""
