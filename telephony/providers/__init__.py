"""PBX protocols, one folder each. `registry` finds them; `base` says what they must be able to do."""
