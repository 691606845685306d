from datetime import datetime

from gql import Client
from gql.transport.aiohttp import AIOHTTPTransport
from gql.utilities import update_schema_scalar
from graphql import GraphQLScalarType, GraphQLSchema


def gql_client(url: str, token: str) -> Client:
    """Asks the service for its schema, and checks operations by it before it sends them."""
    transport = AIOHTTPTransport(url, headers={"Authorization": f"Bearer {token}"})
    return Client(transport=transport, fetch_schema_from_transport=True, parse_results=True, serialize_variables=True)


def read_moments(schema: GraphQLSchema) -> None:
    """Let the values of DateTime be datetimes, in answers and in variables."""
    moment = GraphQLScalarType("DateTime", serialize=datetime.isoformat, parse_value=datetime.fromisoformat)
    update_schema_scalar(schema, "DateTime", moment)
