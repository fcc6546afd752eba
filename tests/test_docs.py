"""What the documentation says of vendors is what the code says."""

from __future__ import annotations

from .docs import CRM_PAGE, PBX_PAGE, crm_tables, page, pbx_tables


def test_the_page_of_pbxs_is_up_to_date() -> None:
    text = PBX_PAGE.read_text(encoding="utf-8")
    assert text == page(text, pbx_tables()), "python -m tests.docs renews it"


def test_the_page_of_crms_is_up_to_date() -> None:
    text = CRM_PAGE.read_text(encoding="utf-8")
    assert text == page(text, crm_tables()), "python -m tests.docs renews it"
