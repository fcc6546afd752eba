"""The API's resources of CRM accounts and integrations, what becomes of calls in CRMs, and what is not written."""

from . import accounts, calls, customers, exports, integrations, missed, rules, trials, unwritten, webhooks  # noqa: F401
