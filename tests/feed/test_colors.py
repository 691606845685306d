"""The CSS3 name of a calendar's colour."""

import pytest
import webcolors
from hypothesis import given
from hypothesis import strategies as st

from feed.colors import NAMES, css_name


@pytest.mark.parametrize("name", NAMES)
def test_a_named_color_has_its_own_name_or_the_first_of_two(name: str) -> None:
    twins = {"cyan": "aqua", "magenta": "fuchsia"}
    assert css_name(webcolors.name_to_hex(name)) == twins.get(name, name)


@pytest.mark.parametrize(
    ("color", "name"),
    [
        ("#4682B4", "steelblue"),
        ("#4682b4", "steelblue"),
        ("#4581B5", "steelblue"),
        ("#010101", "black"),
        ("#FEFEFE", "white"),
        ("#818181", "gray"),
        ("#2E4E4F", "darkslategray"),
        ("#E91E63", "crimson"),
    ],
)
def test_a_color_has_the_nearest_name(color: str, name: str) -> None:
    assert css_name(color) == name


@given(st.integers(0, 0xFFFFFF))
def test_any_color_has_a_name_of_css3(number: int) -> None:
    name = css_name(f"#{number:06X}")
    assert name in webcolors.names(webcolors.CSS3)
    assert "grey" not in name


@pytest.mark.parametrize("color", ["", "steelblue", "#12345G", "4682B4"])
def test_what_is_no_color_is_refused(color: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        css_name(color)
