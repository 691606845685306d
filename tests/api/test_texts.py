import pytest

from api.errors import ValueInvalid
from api.texts import external_id_error, text_error


@pytest.mark.parametrize("text", ["", "Ana", "two\r\nrows\t", "\x01\x7f\ufeff", "👩🏽‍🚀" * 2, "x" * 10])
def test_a_text_that_can_be_kept_is_no_error(text: str) -> None:
    assert text_error(text, 10, "name") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 11, "Give at most 10 characters: these are 11."),
        ("ab\x00", "Take character 3 out of the text: it is NUL, which cannot be kept."),
        ("\ud83d", "Take character 1 out of the text: it is half of a surrogate pair, which cannot be kept."),
    ],
)
def test_a_text_that_cannot_be_kept_is_named_by_its_path(text: str, message: str) -> None:
    assert text_error(text, 10, "users", "3", "name") == ValueInvalid(message=message, path=["users", "3", "name"])


@pytest.mark.parametrize("value", ["1", " 1", "hubspot:deal/17", "Ärger №5", "x" * 255, "👍"])
def test_an_external_id_of_printable_characters_is_no_error(value: str) -> None:
    assert external_id_error(value, "externalId") is None


@pytest.mark.parametrize("value", ["", " ", "   ", "a\nb", "a\x00", "\ud83d", "\u200b", "\u2028", "x" * 256])
def test_an_external_id_that_cannot_be_read_is_refused(value: str) -> None:
    message = "Give the CRM's own key: 1 to 255 printable characters, not all of them blank."
    assert external_id_error(value, "keys", "0") == ValueInvalid(message=message, path=["keys", "0"])
