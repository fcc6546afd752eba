"""How Callbridge speaks HTTP to any vendor, PBX or CRM alike.

The ground floor: imports nothing of ours, knows no vendor and no database.
"""
