"""The fault harness: nothing is lost, nothing is written twice, nothing goes silently, whatever breaks and whenever.

`world` is the product as its users run it, between an emulated PBX and emulated CRMs, with a `wire` (a TCP proxy) on
every way that leads in or out of it. `calls` are the kinds of calls and what must become of each. `faults` is the
catalogue of what can break, `schedule` deals windows of it from a seed, `run` plays calls through them and heals the
world, `verdict` then compares what the PBX, the CRMs and our own database know, and `report` says it to people.

The promise begins with an answer: what the PBX was answered 200 for must reach the CRM. What was not answered (the
process died, or was not there) has not been accepted, and the emulated PBX sends it again until it is: without that
nobody could know of it. So the three must agree in the end on every call.

`make faults` is the long form, `test_faults.py` the short one. docs/faults.md tells how to run and read it.
"""
