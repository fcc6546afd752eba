"""Calls through a real Asterisk: it runs on this machine, SIP phones call through it, and the product watches.

Asterisk comes from Debian's own packages (`packages.py`): apt downloads them into a folder of ours, they are unpacked
there and run with their own libraries. Nothing is installed on the machine, nobody needs to be root, and every address
is one of loopback's. The phones are ours (`sip.py`) and do what a test tells them, when it tells them.

    python -m tests.asterisk up         # a PBX to play with, until Ctrl-C
    python -m tests.asterisk call answered
    python -m tests.asterisk install    # only download and unpack, to warm a cache

`ASTERISK_LAB` is the folder that packages are kept in (`~/.cache/callbridge-asterisk`), `ASTERISK_SUITE` the release
of Debian to take them from: `sid` has Asterisk 22, `bullseye` has 16; when it is not set, the first that can be had.

The dialplan (`etc/extensions.conf`) has the shape of FreePBX's: its contexts, variables, Local channels and names of
recordings. Who is who, with the phones at addresses of a network of their own (127.x.y.0/24):

    101-120                 extensions; 74950000101-74950000120 lead straight to them
    74950000001             a greeting, then the queue 600 (106, as FreePBX has it: through a Local channel)
    74950000002             the queue 601 (107, as plain Asterisk has it: the device itself)
    74950000003             a voice menu: 1 leads to 110
    74950000004             the dialplan asks an HTTP address who takes the caller; 101 when it says nothing
    74950000005             the group 700 (104 and 105 together)
    121                     a phone in a browser: SIP by WebSocket, at ws://127.0.0.1:<port>/ws
    .2                      the telephone company: everybody who is called from inside, or calls from outside
"""
