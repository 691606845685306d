"""The colour names of CSS3, which is what the property COLOR takes (RFC 7986, section 5.9)."""

from functools import lru_cache

import webcolors
from rich.palette import Palette

NAMES = sorted(name for name in webcolors.names(webcolors.CSS3) if "grey" not in name)  # each grey is a gray too
PALETTE = Palette([webcolors.name_to_rgb(name) for name in NAMES])


@lru_cache
def css_name(color: str) -> str:
    """The name nearest to a colour like "#4682B4" as the eye sees it; of two names for the same colour the first."""
    return NAMES[PALETTE.match(webcolors.hex_to_rgb(color))]
