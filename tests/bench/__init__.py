"""The benchmark: what one core carries, and how soon a call is in the CRM (`python -m tests.bench --help`)."""
