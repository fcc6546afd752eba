"""Phonet: HTTPS API v4.1."""
