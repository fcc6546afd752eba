"""Settings, addresses, the server's entrance, the broker."""
