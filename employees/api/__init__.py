"""How programs are let in, and spoken to: keys and their scopes, problems, pages, answers that are kept.

Each room has its resources in its `api.py`; they stand on `resources.Resource` and are registered with `routes.router`.
"""
