"""Names of sites: those that look alike are one."""

from functools import lru_cache
from typing import Final
from unicodedata import normalize

MAX_SITE_CHARACTERS: Final = 64


def normal_site(site: str) -> str:
    """A site's name as it is kept: NFC (Unicode Standard Annex 15), without white space around it."""
    return site.strip() if site.isascii() else normalize("NFC", site).strip()


# Shown with every push of a build: a universe's sites are few beside the pushes that name them.
@lru_cache(maxsize=4096)
def shown_site(site: str) -> str:
    """A site's name as players see it.

    A row or an alarm may hold a name from before names were normalised, and of one build the two may differ. A name of
    which nothing or too much would be left is shown as it is.
    """
    normal = normal_site(site)
    return normal if 0 < len(normal) <= MAX_SITE_CHARACTERS else site
