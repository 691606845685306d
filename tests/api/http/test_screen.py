"""How the screen is served: compressed, kept but asked for again, and with nothing beside it."""

import json
import re
from gzip import compress
from pathlib import Path

import pytest

from api.http.screen import FOLDER
from tests.seed import Service, running_service

CRM = "https://crm.example.com"
MOST_OCTETS = 60_000  # over the wire, all of it together
NAMES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())
LANGUAGES = sorted(Path(name).stem for name in NAMES if name.startswith("words/"))
FORMS = {"zero", "one", "two", "few", "many", "other"}  # that a language may have for a number


async def test_screen_lets_nothing_but_its_own_files_run_or_embed_it(service: Service) -> None:
    answer = await service.poll("/")
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert {name: answer.headers.get(name) for name in ("Referrer-Policy", "X-Content-Type-Options", "Set-Cookie")} == {
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Set-Cookie": None,
    }
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


async def test_screen_can_be_embedded_by_the_pages_of_the_settings(dsn: str) -> None:
    async with running_service(dsn, screen_origins=f"{CRM}, http://localhost:5173") as service:
        answer = await service.poll("/")
        origins = f"http://localhost:5173 {CRM}"
        assert answer.headers["Content-Security-Policy"].endswith(f"frame-ancestors {origins}")
        assert f'<meta name="origins" content="{origins}">' in await answer.text()


async def test_files_are_sent_again_only_if_they_have_changed(service: Service) -> None:
    for coding in ("gzip", "identity"):
        first = await service.poll("/web/app.js", Accept_Encoding=coding)
        assert (first.status, first.headers["Cache-Control"], first.headers["Vary"]) == (
            200,
            "no-cache",
            "Accept-Encoding",
        )
        assert first.headers.get("Content-Encoding", "identity") == coding
        again = await service.poll("/web/app.js", Accept_Encoding=coding, If_None_Match=first.headers["ETag"])
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    stale = await service.poll("/web/app.js", If_None_Match='"0123456789abcdef"')
    assert (stale.status, await stale.text()) == (200, (FOLDER / "app.js").read_text())


async def test_sample_users_are_offered_by_no_service_but_the_demo(service: Service) -> None:
    for path in ("/users.json", "/web/chooser.js"):
        assert (await service.poll(path)).status == 404
    assert '<meta name="chooser" content="">' in await (await service.poll("/")).text()


async def test_no_path_leads_out_of_the_folder(service: Service) -> None:
    for path in ("/web/../pyproject.toml", "/web/%2e%2e/pyproject.toml", "/web/", "/web/words", "/index.html"):
        assert (await service.poll(path)).status == 404


def test_screen_is_small() -> None:
    sizes = {name: len(compress((FOLDER / name).read_bytes(), mtime=0)) for name in NAMES}
    code = sum(size for name, size in sizes.items() if not name.startswith("words/"))
    largest_words = max(size for name, size in sizes.items() if name.startswith("words/"))
    assert code + largest_words < MOST_OCTETS


def test_page_names_all_modules_that_it_starts_with() -> None:
    """So that a browser asks for all of them at once, and not one after the other."""
    page = (FOLDER / "index.html").read_text()
    named = set(re.findall(r'(?:src|href)="web/([\w.]+\.js)"', page))
    later = {"administration.js", "chooser.js"}
    assert named | later == {name for name in NAMES if name.endswith(".js")}


def test_files_have_no_inline_script_style_or_foreign_address() -> None:
    page = (FOLDER / "index.html").read_text()
    assert re.findall(r"<style|style=|\son\w+=|<script>", page) == []
    for name in NAMES:
        assert re.findall(r"https?://[\w.]+", (FOLDER / name).read_text()) == [], name


@pytest.mark.parametrize("language", LANGUAGES)
def test_languages_say_the_same(language: str) -> None:
    """Each key of English, with the same values to be filled in."""
    assert {key: values for key, _, values in _words(language)} == {key: values for key, _, values in _words("en")}
    assert [key for key, text, _ in _words(language) if not text.strip()] == []


def _words(language: str) -> list[tuple[str, str, frozenset[str]]]:
    found = json.loads((FOLDER / "words" / f"{language}.json").read_text())
    return [(key, text, frozenset(re.findall(r"{(\w+)}", text)) - {"n"}) for key, text in _flat("", found)]


def _flat(key: str, words: object) -> list[tuple[str, str]]:
    if isinstance(words, str):
        return [(key, words)]
    if isinstance(words, list):
        return [pair for place, text in enumerate(words) for pair in _flat(f"{key}.{place}", text)]
    assert isinstance(words, dict)
    if set(words) <= FORMS:
        assert "other" in words, key
        return [(f"{key}.{{n}}", text) for text in words.values()]
    return [pair for name, found in words.items() for pair in _flat(f"{key}.{name}".lstrip("."), found)]
