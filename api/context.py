"""What every resolver can reach: who calls, the pool, and what is needed to write the URL of a link."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network

from strawberry.types import Info as StrawberryInfo

from api.auth import NotAuthenticatedError, Principal
from api.errors import Forbidden, Unauthenticated
from db.pool import Pool
from db.users import UserRecord, get_acting_user
from feed.room import FeedLimits
from feed.tokens import Keyring

Network = IPv4Network | IPv6Network


@dataclass
class Context:
    """One request's. `caller` is the principal, or why there is none: only introspection needs no principal."""

    pool: Pool
    keyring: Keyring
    public_url: str
    limits: FeedLimits
    caller: Principal | NotAuthenticatedError
    network: Network | None  # of the caller, for the audit log
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    _viewer: UserRecord | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def viewer(self) -> UserRecord:
        """The user who calls; `Unauthenticated` unless they may act at this moment."""
        if isinstance(self.caller, NotAuthenticatedError):
            raise Unauthenticated(str(self.caller))
        async with self._asking:
            if self._viewer is None:
                async with self.pool.acquire() as conn:
                    self._viewer = await get_acting_user(conn, self.caller.account_id, self.caller.user_id)
        if self._viewer is None:
            raise Unauthenticated("The bearer token's user is not active here.")
        return self._viewer

    async def administrator(self) -> UserRecord:
        viewer = await self.viewer()
        if not viewer.administrator:
            raise Forbidden("Only an administrator may name another user: leave `userId` out for your own feeds.")
        return viewer


Info = StrawberryInfo[Context, None]
