"""How mutations answer: again after a conflict with another writer, and what is refused with user errors."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

import asyncpg
import strawberry

from api.context import Caller, Info
from api.errors import NOT_ALLOWED, Forbidden, Refused
from api.nodes import named_uuid
from db.audit import add_audit_entries
from db.pool import CONFLICTS

MOST_CONFLICTS = 2
MOST_ASKED = 20  # ids of an attempt that the log keeps

Input = TypeVar("Input")
Payload = TypeVar("Payload")
Resolver = Callable[[Info, Input], Awaitable[Payload]]


def answering(payload: type[Payload], action: str) -> Callable[[Resolver[Input, Payload]], Resolver[Input, Payload]]:
    """Let a mutation answer `Refused` with its payload's user errors, and be done again after a conflict.

    What the caller was not allowed to do, or named without being allowed to know of it, is in the audit log under the
    action that it would have been.
    """

    def decorate(resolver: Resolver[Input, Payload]) -> Resolver[Input, Payload]:
        @wraps(resolver)
        async def answer(info: Info, input: Input) -> Payload:  # noqa: A002  # the API's word
            try:
                async with noting_refusal(info, action, input):
                    return await _again(resolver, info, input)
            except Refused as refused:
                if reasons := [type(error).__name__ for error in refused.errors if isinstance(error, NOT_ALLOWED)]:
                    await note_refusal(info, action, sorted(set(reasons)), input)
                return payload(user_errors=refused.errors)  # type: ignore[call-arg]  # every payload has them

        return answer

    return decorate


async def _again(resolver: Resolver[Input, Payload], info: Info, asked: Input) -> Payload:
    """A mutation is one transaction: one that lost to another writer has changed nothing.

    What was new a moment ago, and is there when it is written, the next attempt finds there.
    """
    for _ in range(MOST_CONFLICTS):
        with suppress(*CONFLICTS, asyncpg.UniqueViolationError):
            return await resolver(info, asked)
    return await resolver(info, asked)


@asynccontextmanager
async def noting_refusal(info: Info, action: str, asked: object = None) -> AsyncIterator[None]:
    """If the caller may not do what is done here, note the attempt."""
    try:
        yield
    except Forbidden as forbidden:
        await note_refusal(info, action, [forbidden.code], asked)
        raise


async def note_refusal(info: Info, action: str, reasons: list[str], asked: object) -> None:
    """Write the attempt to the audit log of the caller's account, whatever account the ids are of.

    The same attempt is told once a request: each link of a list may be the one that is refused.
    """
    caller: Caller = await info.context.caller()
    ids = [named for node_id in _node_ids(asked) if (named := named_uuid(node_id))][:MOST_ASKED]
    if (action, *ids) in info.context.refused:
        return
    info.context.refused.add((action, *ids))
    details = {"reasons": reasons, "asked": [f"{kind}:{id_}" for kind, id_ in ids]}
    subject = ids[0][1] if len(ids) == 1 else None
    async with info.context.pool.acquire() as conn:
        await add_audit_entries(
            conn,
            caller.account_id,
            action,
            [subject],
            actor=caller.actor,
            now=info.context.now,
            outcome="REFUSED",
            details=details,
        )


def _node_ids(asked: object) -> Iterator[str]:
    """The ids in an argument or in the fields of an input whose names say that they are ids."""
    if isinstance(asked, str):
        yield asked
    elif hasattr(asked, "__strawberry_definition__"):
        for field in fields(asked):  # type: ignore[arg-type]  # strawberry's inputs are dataclasses
            value: Any = getattr(asked, field.name)
            if value in (None, strawberry.UNSET):
                continue
            if field.name.endswith("_id"):
                yield str(value)
            elif field.name.endswith("_ids"):
                yield from map(str, value)
            elif field.name == "where":
                yield from _node_ids(value)
