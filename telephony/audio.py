"""Is it audio, and of which kind: by the file's own first bytes, whatever a vendor calls it."""

from __future__ import annotations

from outbound.errors import VendorFault

from .providers.base import Audio

TYPES = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "m4a": "audio/mp4",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "amr": "audio/amr",
}
"""Kinds of audio that we take (the extension of a file), and how they are called over HTTP."""
_PAGES = ("text/", "application/json", "application/xml", "application/xhtml")


def recognise(audio: Audio) -> str:
    """The kind of a recording; raises `VendorFault` where it is none. The file stands at its beginning afterwards."""
    audio.content.seek(0)
    beginning = audio.content.read(512)
    audio.content.seek(0)
    if not beginning:
        raise VendorFault("the recording is empty", code="empty")
    told = audio.content_type.partition(";")[0].strip().lower()
    kind = _kind(beginning)
    if not kind or told.startswith(_PAGES):
        seen = "" if kind else f": {beginning[:200].decode('utf-8', 'replace')}"
        raise VendorFault(f"the answer is no audio but {told or 'something without a type'}{seen}", code="no_audio")
    return kind


def _kind(beginning: bytes) -> str:
    if beginning[:4] in (b"RIFF", b"RF64") and beginning[8:12] == b"WAVE":
        return "wav"
    if beginning[4:8] == b"ftyp":
        return "m4a"
    for sign, kind in ((b"ID3", "mp3"), (b"OggS", "ogg"), (b"fLaC", "flac"), (b"#!AMR", "amr")):
        if beginning.startswith(sign):
            return kind
    return _mpeg(beginning[:4])


def _mpeg(header: bytes) -> str:
    """A bare MPEG stream begins with the header of its first frame; fields with a forbidden value are chance."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return ""
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    if layer == 0:
        return "aac" if header[1] & 0xF0 == 0xF0 else ""
    bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
    return "mp3" if version != 1 and bitrate != 15 and rate != 3 else ""
