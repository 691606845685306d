"""The fixed words of a feed in the language of its user. English is the message id, the others stand in `locale/`."""

from dataclasses import dataclass
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

ENGLISH = "en"
CATALOGUES = {path.stem: path for path in (Path(__file__).parent / "locale").glob("*.po")}


@dataclass(frozen=True, slots=True)
class Words:
    """Call it with an English message: `say("Call: {title}", title=title)`. Messages are literals, never input."""

    language: str  # "de"
    translations: NullTranslations

    def __call__(self, msgid: str, /, **values: object) -> str:
        return self.translations.gettext(msgid).format_map(values)

    def count(self, singular: str, plural: str, n: int) -> str:
        """The message in the form that the language has for `n`, with {n} filled in."""
        return self.translations.ngettext(singular, plural, n).format(n=n)


def words(locale: str) -> Words:
    """The words for a locale like "de", "de-AT" or "de_DE"; English for any other text."""
    language = negotiate_locale([locale.replace("-", "_")], CATALOGUES) or ENGLISH
    return _words(language.lower())


@cache
def _words(language: str) -> Words:
    if language not in CATALOGUES:
        return Words(language, NullTranslations())
    compiled = BytesIO()
    with CATALOGUES[language].open("rb") as catalogue:
        write_mo(compiled, read_po(catalogue, abort_invalid=True))
    compiled.seek(0)
    return Words(language, GNUTranslations(compiled))
