"""The open telephony API: any PBX that sends these few forms is connected."""
