"""Texts of inputs: what is too long, or what PostgreSQL cannot keep, is the caller's to mend."""

import re

from api.errors import UserError, ValueInvalid

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
LONGEST_EXTERNAL_ID = 255


def text_error(value: str, longest: int, *path: str) -> UserError | None:
    """Why the text cannot be kept, `longest` in characters; None if it can."""
    if len(value) > longest:
        message = f"Give at most {longest:,} characters: these are {len(value):,}."
    elif found := UNSTORABLE.search(value):
        name = "NUL" if found[0] == "\x00" else "half of a surrogate pair"
        message = f"Take character {found.start() + 1} out of the text: it is {name}, which cannot be kept."
    else:
        return None
    return ValueInvalid(message=message, path=list(path))


def external_id_error(value: str, *path: str) -> UserError | None:
    """Why the text is no external id: 1 to 255 printable characters, not all blank; None if it is one."""
    if 0 < len(value) <= LONGEST_EXTERNAL_ID and value.isprintable() and not value.isspace():
        return None
    message = f"Give the CRM's own key: 1 to {LONGEST_EXTERNAL_ID} printable characters, not all of them blank."
    return ValueInvalid(message=message, path=list(path))
