"""The API's resources of telephony: connections, calls and their recordings, commands, worklists, reports, events."""

from . import calls, commands, comments, connections, events, planned, recordings, reports  # noqa: F401
