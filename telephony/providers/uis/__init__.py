"""UIS: Call API v4.0, Data API v2.0 and notifications of the platform that UIS, CoMagic, CallGear and MegaFon share."""
