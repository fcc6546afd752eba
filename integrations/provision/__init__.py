"""One company as a file (`manage.py provision`): for scripts, demos, tests and moves between servers."""

from .example import example
from .run import Outcome, Refused, provision

__all__ = ["Outcome", "Refused", "example", "provision"]
