"""The words of a feed: complete in every language, and safe whatever they are filled with."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Formatter

import pytest
from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

import feed
from feed.words import CATALOGUES, words

LANGUAGES = ("de", "es", "fr", "nl")
# How the code says a message: `say("Busy")` and `say.count("{n} day back", "{n} days back", n)`.
KEYWORDS: dict[str, tuple[int, ...] | None] = {"say": None, "count": (1, 2)}


def catalogue(language: str) -> Catalog:
    with CATALOGUES[language].open("rb") as file:
        return read_po(file, abort_invalid=True)


def forms(message: str | Iterable[str] | None) -> tuple[str, ...]:
    """The message alone, or its singular and plural."""
    return (message,) if isinstance(message, str) else tuple(message or ())


def messages(language: str) -> set[tuple[str, ...]]:
    return {forms(message.id) for message in catalogue(language) if message.id}


def translations() -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Language, message and translation, of every message in every catalogue."""
    for language in CATALOGUES:
        for message in catalogue(language):
            if message.id:
                yield language, forms(message.id), forms(message.string)


def messages_of_the_code() -> set[tuple[str, ...]]:
    found = extract_from_dir(Path(feed.__file__).parent, [("**.py", "python")], keywords=KEYWORDS)
    return {forms(message) for _, _, message, _, _ in found}


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def test_the_languages_are_those_promised() -> None:
    assert tuple(sorted(CATALOGUES)) == LANGUAGES
    assert [words(language).language for language in LANGUAGES] == list(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_is_clean(language: str) -> None:
    found = catalogue(language)
    source = CATALOGUES[language].read_text("utf-8")
    assert (str(found.locale), found.charset, found.num_plurals) == (language, "utf-8", 2)
    assert not found.obsolete
    assert not [message.id for message in found if message.fuzzy]
    assert not [(message.id, errors) for message, errors in found.check()]
    assert source.count('\nmsgid "') == len(found) + 1, "a message stands there twice"  # 1: the header


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_catalogue_has_the_same_messages(language: str) -> None:
    assert messages(language) == messages("de")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_every_message_of_the_code(language: str) -> None:
    assert messages_of_the_code() - messages(language) == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_no_message_that_the_code_does_not_use(language: str) -> None:
    assert messages(language) - messages_of_the_code() == set()


def test_every_message_is_translated_with_its_placeholders() -> None:
    for language, message, translation in translations():
        assert len(translation) == len(message), (language, message)
        for form, translated in zip(message, translation, strict=True):
            assert translated.strip(), (language, message)
            assert translated == translated.strip(), (language, message)
            assert placeholders(translated) == placeholders(form), (language, message)


def test_french_has_a_no_break_space_before_every_colon() -> None:
    colons = [re.findall("(.):", form) for language, _, forms in translations() if language == "fr" for form in forms]
    assert set().union(*colons) == {"\u00a0"}


@pytest.mark.parametrize(
    ("language", "busy", "days"),
    [
        ("en", "Busy", ("0 days back", "1 day back", "2 days back")),
        ("de", "Beschäftigt", ("0 Tage zurück", "1 Tag zurück", "2 Tage zurück")),
        ("es", "Ocupado", ("0 días hacia atrás", "1 día hacia atrás", "2 días hacia atrás")),
        ("fr", "Occupé", ("0 jour passé", "1 jour passé", "2 jours passés")),
        ("nl", "Bezet", ("0 dagen terug", "1 dag terug", "2 dagen terug")),
    ],
)
def test_words_are_said_and_counted_as_the_language_does(language: str, busy: str, days: tuple[str, ...]) -> None:
    say = words(language)
    assert say.language == language
    assert say("Busy") == busy
    assert tuple(say.count("{n} day back", "{n} days back", n) for n in range(3)) == days


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("de", "de"),
        ("DE", "de"),
        ("de-AT", "de"),
        ("de_DE", "de"),
        ("dE_ch", "de"),
        ("de-DE-u-co-phonebk", "de"),
        ("de_DE.UTF-8", "de"),
        ("nl-BE", "nl"),
        ("fr_CA", "fr"),
        ("es-419", "es"),
        ("en", "en"),
        ("en-GB", "en"),
        ("it", "en"),
        ("deutsch", "en"),
        ("den", "en"),
        ("xx-DE", "en"),
        ("C", "en"),
        ("", "en"),
        ("-", "en"),
        ("_de", "en"),
        (" ", "en"),
        ("../de", "en"),
        ("de\x00", "en"),
        ("\ud800", "en"),
    ],
)
def test_words_of_a_locale_are_those_of_its_language_or_english(locale: str, language: str) -> None:
    assert words(locale).language == language


@given(st.text() | st.from_regex(r"\A[a-z]{2,3}[-_.@]", fullmatch=False) | st.text(alphabet="dDeE-_@.\ud800\x00"))
def test_words_of_any_text_are_there(locale: str) -> None:
    assert words(locale) is words(words(locale).language)
    assert words(locale).language in ("en", *LANGUAGES)


def test_words_of_a_language_are_read_once() -> None:
    assert words("de-AT") is words("de_DE")
    assert words("it") is words("en")


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_values_with_braces_pass_through(language: str) -> None:
    title = "{n} {title} {0} {title.__class__} {{}} } { %s %(n)s"
    filled = words(language)("{name}: {title}", name="{title}", title=title)
    assert filled.replace("\u00a0", "") == "{title}: " + title


@given(st.text(), st.sampled_from(["en", *LANGUAGES]))
def test_any_value_is_filled_in_as_it_is(title: str, language: str) -> None:
    assert words(language)("Cancelled: {title}", title=title).endswith(": " + title)
