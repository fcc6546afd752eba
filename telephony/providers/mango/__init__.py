"""Mango Office: the VPBX API (document v1.9, text of June 2026)."""
