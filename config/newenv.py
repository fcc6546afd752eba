"""Prints an environment file with fresh secrets: `python -m config.newenv > .env`."""

import secrets
import sys
from base64 import urlsafe_b64encode

TEMPLATE = """\
# Made by `make .env`. Keep it: without FIELD_ENCRYPTION_KEY nothing encrypted in the database can be read.
# Every other setting has a default; .env.example explains them all.
SECRET_KEY={secret}
FIELD_ENCRYPTION_KEY={key}
"""


def main() -> None:
    """Needs nothing but Python: it runs before anything is installed."""
    key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    sys.stdout.write(TEMPLATE.format(secret=secrets.token_urlsafe(50), key=key))


if __name__ == "__main__":
    main()
