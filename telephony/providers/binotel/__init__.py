"""Binotel: API 4.0 and its notifications."""
