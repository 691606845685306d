"""Settings: the environment, read once into one frozen object. Nothing else in the service reads the environment."""

import os
import re
import secrets
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.asyncio.connection import parse_url

from api.http.cors import parse_origins
from api.http.network import is_loopback, parse_proxies
from feed.tokens import SHORTEST_KEY, Keyring
from feed.urls import LONGEST_PUBLIC_URL

PREFIX = "CALENDAR_FEEDS_"
SECRETS_FILE = "secrets.env"
PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?")
PAGE_URL = re.compile(r"https?://[\x21-\x7e]+")
LONGEST_PAGE_URL = 500
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # to listen on, not to call


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it and says what it should be."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    database_url: SecretStr | None = Field(None, description="PostgreSQL 15 or newer; without it the embedded one runs")
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("calendar-feeds"),
        description="folder of the embedded PostgreSQL and of the secrets made for it;"
        " the user's own folder for data if unset, on Linux `~/.local/share/calendar-feeds`",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=1, le=65535, description="port to listen on")
    public_url: str | None = Field(
        None,
        description="where the world reaches the service, without a slash at the end; `http://{host}:{port}` if unset",
    )
    secret_keys: SecretStr | None = Field(
        None, description="keys that sign feed links, `id:key,id:key`, newest first, each key of 32 characters or more"
    )
    jwt_secret: SecretStr | None = Field(None, description="secret of the HS256 bearer tokens, 32 characters or more")
    jwks: str | None = Field(
        None,
        description="public keys of an identity provider that signs bearer tokens: a file, or an `https://` address;"
        " needs `CALENDAR_FEEDS_JWT_ISSUER` and `CALENDAR_FEEDS_JWT_AUDIENCE`",
    )
    jwt_issuer: str | None = Field(None, description="the `iss` that bearer tokens must have")
    jwt_audience: str | None = Field(None, description="the `aud` that bearer tokens must have, or have among theirs")
    jwt_leeway_seconds: int = Field(30, ge=0, le=600, description="by how much the clocks of signers may be wrong")
    jwt_account_claim: str = Field("account", description="the claim of bearer tokens that names the account")
    jwt_account_id: UUID | None = Field(
        None, description="the account of all bearer tokens, by id; the claim is then not looked at"
    )
    jwt_user_claim: str = Field("sub", description="the claim of bearer tokens that names the user")
    jwt_ids: Literal["INTERNAL", "EXTERNAL"] = Field(
        "INTERNAL",
        description="what the two claims hold: our ids, or the CRM's own keys of the account and the user (`EXTERNAL`)",
    )
    provision_users: bool = Field(
        False,
        description="add a user whom the identity provider knows and we do not yet, with the claims `name` and `email`;"
        " needs `CALENDAR_FEEDS_JWT_IDS=EXTERNAL`",
    )
    cors_origins: str | None = Field(
        None, description="origins of the front-ends that may call `/graphql` from browsers, with commas between"
    )
    screen_origins: str | None = Field(
        None,
        description="origins of the pages that may embed the screen at `/` and hand it the bearer token,"
        " with commas between",
    )
    max_request_bytes: int = Field(
        10_000_000, ge=100_000, description="octets in a request to `/graphql`; without a valid bearer token 100,000"
    )
    request_seconds: float = Field(30, ge=1, le=300, description="seconds that a request to `/graphql` may take")
    webhook_networks: str | None = Field(
        None,
        description="private networks that webhooks may be sent to, also by `http://`, with commas between;"
        " without it only public addresses, by `https://`",
    )
    notice_days: int = Field(30, ge=0, description="days for which a dead link serves its notice before 410; 0: none")
    settings_page_url: str | None = Field(
        None,
        description="the page on which users manage their links, which notices name; with `CALENDAR_FEEDS_PUBLIC_URL`"
        " the screen at `/` if unset",
    )
    links_per_user: int = Field(50, ge=1, description="links a user may have; an account's policy may allow fewer")
    link_polls_per_minute: int = Field(60, ge=0, description="polls of one link in a minute before 429; 0: no limit")
    unknown_polls_per_minute: int = Field(
        30, ge=0, description="polls with unknown tokens from one network in a minute before 429; 0: no limit"
    )
    redis_url: SecretStr | None = Field(
        None, description="Redis that all processes count polls in, `redis://…`; without it each counts its own"
    )
    proxies: str | None = Field(
        None,
        description="addresses or networks of the proxies in front, with commas between;"
        " only their `X-Forwarded-For` is believed",
    )
    network_days: int = Field(
        30, ge=0, description="days for which the networks that poll a link are kept, /24 or /48; 0: not at all"
    )
    alarm_clients: int = Field(
        6, ge=0, description="kinds of calendar programs on one link within a week that raise its alarm; 0: none do"
    )
    alarm_networks: int = Field(
        40, ge=0, description="networks that poll one link within a week that raise its alarm; 0: none do"
    )
    refresh_minutes: int = Field(
        60, ge=5, le=10_080, description="minutes after which calendar programs are asked to poll again"
    )
    max_events: int = Field(5_000, ge=1, description="events in a feed; of a fuller one the far past is left out first")
    max_bytes: int = Field(5_000_000, ge=100_000, description="octets in a feed; likewise")
    cache_bytes: int = Field(
        100_000_000,
        ge=0,
        description="octets of feeds that each process keeps ready to be sent, and as many of the parts that large ones"
        " are made of; 0: none",
    )
    render_ahead: bool = Field(
        True, description="render in the background what was changed in large numbers, before polls ask for it"
    )
    patience_seconds: float = Field(15, ge=0, le=300, description="seconds a poll waits for an unreachable database")
    pool_size: int = Field(
        10, ge=1, description="connections to PostgreSQL for each process, beside the one that polls are answered on"
    )
    distributed: bool = Field(
        False, description="the database is distributed by account (Citus), so that each statement is about one account"
    )
    statement_cache_size: int = Field(
        100, ge=0, description="prepared statements kept for each connection; 0 for PgBouncer before 1.21"
    )
    graphiql: bool = Field(False, description="serve GraphiQL to browsers that open `/graphql`")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")

    @field_validator("data_dir")
    @classmethod
    def _expand_data_dir(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is not None and not (PUBLIC_URL.fullmatch(value) and len(value) <= LONGEST_PUBLIC_URL):
            raise ValueError(f"write it like https://feeds.example.com, ASCII, at most {LONGEST_PUBLIC_URL} characters")
        return value.rstrip("/") if value else value

    @field_validator("settings_page_url")
    @classmethod
    def _check_settings_page_url(cls, value: str | None) -> str | None:
        if value is not None and not (PAGE_URL.fullmatch(value) and len(value) <= LONGEST_PAGE_URL):
            raise ValueError(f"write it like https://crm.example.com/feeds, at most {LONGEST_PAGE_URL} characters")
        return value

    @field_validator("proxies", "webhook_networks")
    @classmethod
    def _check_networks(cls, value: str | None) -> str | None:
        try:
            parse_proxies(value)
        except ValueError:
            raise ValueError("write addresses or networks with commas between, like 10.0.0.0/8,2001:db8::7") from None
        return value

    @field_validator("cors_origins", "screen_origins")
    @classmethod
    def _check_origins(cls, value: str | None) -> str | None:
        try:
            parse_origins(value)
        except ValueError:
            raise ValueError(
                "write each origin as browsers do, with commas between, like https://crm.example.com,"
                "http://localhost:5173: in lower case, without a path or a usual port; * is no origin"
            ) from None
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            if value is not None:
                parse_url(value.get_secret_value())
        except ValueError:  # whose message may repeat part of the password
            raise ValueError("write it like redis://:password@host:6379/0") from None
        return value

    @field_validator("secret_keys")
    @classmethod
    def _check_secret_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Keyring.parse(value.get_secret_value())
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _check_jwt_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value) < SHORTEST_KEY:
            raise ValueError(f"must have at least {SHORTEST_KEY} characters: `openssl rand -hex 32`")
        return value

    @field_validator("jwt_account_id", mode="before")
    @classmethod
    def _check_jwt_account_id(cls, value: object) -> object:
        try:
            return None if value is None else UUID(str(value))
        except ValueError:
            raise ValueError("give the account's id, a UUID, as our database has it") from None

    @field_validator("jwks")
    @classmethod
    def _check_jwks(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if "://" not in value:
            return str(Path(value).expanduser().absolute())
        if not is_jwks_url(value):
            raise ValueError(
                "write it like https://login.example.com/jwks.json, without a user name; http:// is for this machine"
                " only, and a file is a path"
            )
        return value

    @model_validator(mode="after")
    def _check_identity_provider(self) -> Self:
        missing = [name for name in ("JWT_ISSUER", "JWT_AUDIENCE") if getattr(self, name.lower()) is None]
        if self.jwks and missing:
            names = " and ".join(f"{PREFIX}{name}" for name in missing)
            raise ValueError(f"Set {names}: whose keys are in {PREFIX}JWKS may sign for other services, too.")
        if self.provision_users and self.jwt_ids != "EXTERNAL":
            raise ValueError(
                f"{PREFIX}PROVISION_USERS: set {PREFIX}JWT_IDS=EXTERNAL, or leave it out: nobody but us knows our ids."
            )
        return self

    @property
    def page_url(self) -> str | None:
        """The page that notices name; none where the world may not reach us."""
        return self.settings_page_url or (f"{self.public_url}/" if self.public_url else None)

    @property
    def base_url(self) -> str:
        if self.public_url:
            return self.public_url
        host = "localhost" if self.host in EVERY_ADDRESS else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def load_settings(**overrides: object) -> Settings:
    """Read the environment; `overrides` (from the command line) win where they are not None."""
    return _settings(None, overrides)


def with_kept_secrets(settings: Settings) -> Settings:
    """The settings, with secrets that are made on first use and kept in the data folder where none are given."""
    path = settings.data_dir / SECRETS_FILE
    try:
        if not path.exists():
            _make_secrets(path)
    except OSError as exc:
        raise SettingsError(
            f"{PREFIX}DATA_DIR: {settings.data_dir} cannot be used ({exc.strerror}): name a folder to write to."
        ) from None
    complete = _settings(path, settings.model_dump(exclude_unset=True))
    if complete.secret_keys is None or (complete.jwt_secret or complete.jwks) is None:
        raise SettingsError(f"{path} lacks a secret: restore it, or set {PREFIX}SECRET_KEYS and {PREFIX}JWT_SECRET.")
    return complete


def has_kept_secrets(settings: Settings) -> bool:
    return (settings.data_dir / SECRETS_FILE).exists()


def _settings(env_file: Path | None, values: dict[str, object]) -> Settings:
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return Settings(_env_file=env_file, **given)  # type: ignore[call-arg,arg-type]  # pydantic-settings' own argument; pydantic checks the rest
    except ValidationError as exc:
        raise SettingsError("\n".join(_said(e["loc"], e["msg"]) for e in exc.errors())) from None


def _said(names: tuple[int | str, ...], message: str) -> str:
    """The error, with its setting where it is about one alone."""
    setting = f"{PREFIX}{'_'.join(map(str, names)).upper()}: " if names else ""
    return setting + message.removeprefix("Value error, ")


def is_jwks_url(text: str) -> bool:
    """Whether keys may be fetched from there: what comes by http from elsewhere may be anybody's."""
    try:
        url = urlsplit(text)
        is_safe = url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or ""))
        return is_safe and bool(url.hostname) and url.port != 0 and url.username is None and text.isascii()
    except ValueError:
        return False


def _make_secrets(path: Path) -> None:
    """Write the file whole or not at all, readable by its owner only; another process may have been first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = f"{PREFIX}SECRET_KEYS=k1:{secrets.token_hex(32)}\n{PREFIX}JWT_SECRET={secrets.token_hex(32)}\n"
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # every link depends on it
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
