"""The GraphQL endpoint: GraphQL over HTTP. Whatever is sent, the answer is JSON, and an error in it has a code."""

import asyncio
import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from aiohttp import hdrs, web
from cross_web import AsyncHTTPRequestAdapter
from graphql import GraphQLError
from strawberry.aiohttp.views import GraphQLView
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from api.api_keys import ApiKeyText
from api.auth import Bearers, NotAuthenticatedError, Principal
from api.context import ACTING_USER, Context, new_writers
from api.errors import ApiError, Code, InvalidQuery, formatted_error, formatted_errors
from api.http.bodies import RequestRefused, parse_json, request_data
from api.http.cors import Cors, parse_origins
from api.http.media_types import GRAPHQL_JSON, JSON, accepted_type
from api.http.network import parse_proxies
from api.schema import schema
from api.settings import Settings
from api.token_users import AccountIds
from db.audit import Network
from db.pool import Pool
from feed.room import FeedLimits
from feed.tokens import Keyring

FindNetwork = Callable[[web.Request], Network | None]

METHODS = "GET, POST, OPTIONS"
MOST_OCTETS = 100_000  # in the body of a caller who is not known
# With no data in it, an answer has the status of its code; 400 stands for all that the caller has to mend. A request
# that takes too long is 503, not 504: there is no server behind this one that a balancer could blame.
STATUS: dict[Code | None, int] = {
    Code.UNAUTHENTICATED: 401,
    Code.TIMEOUT: 503,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}
SAID_WITH: dict[Code | None, dict[str, str]] = {
    Code.UNAUTHENTICATED: {hdrs.WWW_AUTHENTICATE: "Bearer"},
    Code.UNAVAILABLE: {hdrs.RETRY_AFTER: "5"},
}
CONTEXT = web.RequestKey("context", Context)


class GraphQL(GraphQLView[Context, None]):
    """Strawberry's view, which is strict in what it reads, and says what is wrong in GraphQL's own form."""

    def __init__(
        self,
        settings: Settings,
        bearers: Bearers,
        pool: Pool,
        keyring: Keyring,
        limits: FeedLimits,
        network: FindNetwork,
    ) -> None:
        super().__init__(schema, graphql_ide="graphiql" if settings.graphiql else None, subscription_protocols=())
        self._context = partial(
            Context, pool, keyring, settings.base_url, limits, settings.links_per_user, AccountIds(),
            settings.provision_users, webhook_networks=parse_proxies(settings.webhook_networks),
            writers=new_writers(),
        )  # fmt: skip
        self._bearers, self._network = bearers, network
        self._cors = Cors(parse_origins(settings.cors_origins))
        self._most_octets = settings.max_request_bytes
        self._seconds = settings.request_seconds

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        answer = await self._answer(request)
        self._cors.allow(request, answer)
        return answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=204, headers={hdrs.ALLOW: METHODS})
        limit = asyncio.timeout(self._seconds)
        try:
            _check_head(request, self._renders_ide(request))
            async with limit:
                return await self.run(request)
        except RequestRefused as refused:
            return _refusal(request, refused)
        except Exception as exc:  # whatever it is, the answer is JSON
            return _refusal(request, self._late(request) if limit.expired() else _failed(exc))

    def _late(self, request: web.Request) -> RequestRefused:
        """What to say at the end of the request's time: the caller's fault as long as the body is not all there."""
        if not request.content.is_eof():
            message = f"The body did not arrive within {self._seconds:g} seconds."
            return RequestRefused(message, 408, Code.TIMEOUT)
        message = f"The request took more than {self._seconds:g} seconds: what is not finished is undone. Ask for less."
        return RequestRefused(message, STATUS[Code.TIMEOUT], Code.TIMEOUT)

    # ---- what strawberry's view asks for, in the order in which it does

    def is_websocket_request(self, request: web.Request) -> bool:  # type: ignore[override]  # a TypeGuard that is always False
        return False

    async def get_sub_response(self, request: web.Request) -> web.Response:
        return web.Response(content_type=_media_type(request) or JSON)

    async def get_context(self, request: web.Request, response: web.StreamResponse) -> Context:
        acting_user = ", ".join(request.headers.getall(ACTING_USER)) if ACTING_USER in request.headers else None
        context = self._context(await self._principal(request), self._network(request), acting_user)
        request[CONTEXT] = context
        return context

    async def _principal(self, request: web.Request) -> Principal | ApiKeyText | NotAuthenticatedError:
        try:
            return await self._bearers.read(request.headers.get(hdrs.AUTHORIZATION))
        except NotAuthenticatedError as exc:
            return exc

    def should_render_graphql_ide(self, request: Any) -> bool:
        return self._renders_ide(request.request)

    def _renders_ide(self, request: web.Request) -> bool:
        wanted = request.method == hdrs.METH_GET and "query" not in request.query
        return bool(self.graphql_ide) and wanted and "text/html" in request.headers.get(hdrs.ACCEPT, "")

    async def parse_http_body(self, adapter: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        request: web.Request = adapter.request  # type: ignore[attr-defined]  # aiohttp's adapter has it
        if request.method == hdrs.METH_GET:
            return request_data(_query_parameters(request))
        return request_data(parse_json(await self._body(request)))

    async def _body(self, request: web.Request) -> bytes:
        most = await self._most_octets_of(request)
        if (request.content_length or 0) > most:
            raise _too_large(most)
        try:
            return await request.clone(client_max_size=most).read()
        except web.HTTPRequestEntityTooLarge:
            raise _too_large(most) from None
        except (web.RequestPayloadError, ConnectionError):
            raise RequestRefused("The body is cut off, or not framed as it should be.") from None

    async def _most_octets_of(self, request: web.Request) -> int:
        """Only who calls with a valid token or key may send much: that is looked up before a large body is read."""
        is_chunked = hdrs.TRANSFER_ENCODING in request.headers
        if not is_chunked and (request.content_length or 0) <= MOST_OCTETS:
            return MOST_OCTETS
        try:
            await request[CONTEXT].caller()
        except ApiError:
            return MOST_OCTETS
        return self._most_octets

    async def execute_single(
        self,
        request: web.Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: web.Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        asked = request_data
        try:
            return await self.schema.execute(
                asked.query,
                variable_values=asked.variables,
                context_value=context,
                operation_name=asked.operation_name,
                allowed_operation_types=OperationType.from_http("GET" if request.method == "GET" else "POST"),
            )
        except CannotGetOperationTypeError as exc:
            return ExecutionResult(data=None, errors=[InvalidQuery(exc.as_http_error_reason())])
        except InvalidOperationTypeError:
            raise RequestRefused("Send mutations by POST.", 405, Allow="POST") from None

    async def process_result(self, request: web.Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """With `data` if the query was executed; what is wrong while it is has a path."""
        errors = result.errors or []
        executed = result.data is not None or any(error.path for error in errors)
        answer: GraphQLHTTPResponse = {"data": result.data} if executed else {}
        if errors:
            answer["errors"] = list(formatted_errors(errors))
        return answer

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: web.Response
    ) -> web.Response:
        assert isinstance(response_data, dict)
        code, status_counts = _spoiling(response_data), sub_response.content_type == GRAPHQL_JSON
        if code == Code.UNAVAILABLE or (code == Code.UNAUTHENTICATED and status_counts):
            response_data.pop("data", None)
        if "data" not in response_data and (code == Code.UNAVAILABLE or status_counts):
            sub_response.set_status(STATUS.get(code, 400))
            sub_response.headers.update(SAID_WITH.get(code, {}))
        sub_response.text = json.dumps(response_data, separators=(",", ":"))
        return sub_response


def _too_large(most: int) -> RequestRefused:
    known = "" if most > MOST_OCTETS else ", and only callers with a valid token or key may send more"
    return RequestRefused(f"The body has more than {most:,} octets{known}.", 413, Code.TOO_LARGE)


def _media_type(request: web.Request) -> str | None:
    return accepted_type(request.headers.getall(hdrs.ACCEPT, []))


def _check_head(request: web.Request, renders_ide: bool) -> None:
    """Refuse what can be refused before a body is read. That it must be JSON makes browsers ask first (CORS)."""
    if request.method not in (hdrs.METH_GET, hdrs.METH_POST):
        raise RequestRefused("Send queries by GET or POST, mutations by POST.", 405, Allow=METHODS)
    if _media_type(request) is None and not renders_ide:
        raise RequestRefused(f"Accept {GRAPHQL_JSON} or {JSON}.", 406)
    if request.method == hdrs.METH_GET:
        return
    if request.content_type != JSON or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise RequestRefused(f"Send the query as Content-Type: {JSON}, in UTF-8.", 415, Accept_Post=JSON)
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise RequestRefused("Send the body as it is, not compressed.", 415, Accept_Encoding="identity")


def _query_parameters(request: web.Request) -> dict[str, Any]:
    found: dict[str, Any] = dict(request.query)
    if len(found) < len(request.query):
        raise RequestRefused("A parameter is given twice.")
    for name in ("variables", "extensions"):
        if text := found.get(name):
            found[name] = parse_json(text.encode(errors="surrogatepass"))
        else:
            found.pop(name, None)
    return found


def _refusal(request: web.Request, refused: RequestRefused) -> web.Response:
    body = json.dumps({"errors": [{"message": str(refused), "extensions": {"code": refused.code}}]})
    answer = web.Response(text=body, status=refused.status, content_type=_media_type(request) or JSON)
    answer.headers.update({**refused.headers, **SAID_WITH.get(refused.code, {})})
    if refused.status == 408:  # noqa: PLR2004  # the rest of the body is not waited for
        answer.force_close()
    return answer


def _failed(exc: Exception) -> RequestRefused:
    error = formatted_error(GraphQLError("", original_error=exc))
    code = Code(error["extensions"]["code"])
    return RequestRefused(error["message"], STATUS.get(code, 400), code)


def _spoiling(answer: GraphQLHTTPResponse) -> Code | None:
    """The code of all its errors, if they left nothing of the data."""
    errors: Iterable[Any] = answer.get("errors") or ()
    codes = {error["extensions"]["code"] for error in errors}
    nothing = all(value is None for value in (answer.get("data") or {}).values())
    return Code(codes.pop()) if nothing and len(codes) == 1 else None
