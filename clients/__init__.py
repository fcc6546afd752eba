"""The client book: whom a phone belongs to, as the CRMs know it or as it was entered here."""
