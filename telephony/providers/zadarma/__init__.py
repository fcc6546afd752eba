"""Zadarma: PBX API v1."""
