"""StreamTelecom: the telephony API of Planfix through its gateway, and its own events."""
