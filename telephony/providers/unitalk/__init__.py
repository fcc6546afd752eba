"""UniTalk: API and event handling."""
