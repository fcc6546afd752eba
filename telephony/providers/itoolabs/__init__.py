"""iTooLabs Communications Server: the CRM API of virtual PBXs that many operators sell under their own names."""
