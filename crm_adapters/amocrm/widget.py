"""The widget that makes numbers in amoCRM callable: its files, packed as the customer uploads them."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).parent / "widget"
_DATE = (2026, 1, 1, 0, 0, 0)


@lru_cache(maxsize=1)
def archive() -> bytes:
    """`widget.zip`: the folder's files without a folder around them, always the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
        for file in sorted(path for path in FOLDER.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(FOLDER)), _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            bundle.writestr(entry, file.read_bytes())
    return packed.getvalue()
