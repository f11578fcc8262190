"""The text of an API key: `laneway_`, an id, a secret and a checksum, in letters and digits.

The prefix lets people and secret scanners recognise a key that has leaked (`laneway_[0-9A-Za-z]{48}`). The checksum is the
CRC-32 of everything before it: it distinguishes a key from similar text, and a truncated key from a revoked one, without
asking a server.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "laneway_"
ID_CHARACTERS, SECRET_CHARACTERS, CHECKSUM_CHARACTERS = 10, 32, 6
"""A secret of 32 letters and digits has 190 bits, so a plain SHA-256 of it cannot be reversed by guessing."""
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_TEXT = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{ID_CHARACTERS + SECRET_CHARACTERS + CHECKSUM_CHARACTERS}}}")


def new_text() -> str:
    """Return the text of a new key."""
    random = "".join(secrets.choice(_DIGITS) for _ in range(ID_CHARACTERS + SECRET_CHARACTERS))
    return PREFIX + random + checksum(PREFIX + random)


def id_of(text: str) -> str | None:
    """Return the id in the text of a key; None if the text is no key, or a key with a mistake in it."""
    body, end = text[:-CHECKSUM_CHARACTERS], text[-CHECKSUM_CHARACTERS:]
    if not _TEXT.fullmatch(text) or end != checksum(body):
        return None
    return body[len(PREFIX) : len(PREFIX) + ID_CHARACTERS]


def digest(text: str) -> bytes:
    """Return what is stored instead of the text."""
    return hashlib.sha256(text.encode()).digest()


def checksum(body: str) -> str:
    """Return the checksum that follows prefix, id and secret."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
