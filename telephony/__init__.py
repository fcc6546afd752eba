"""PBX side: connections, the inbox of what PBXs send, calls, recordings, commands."""
