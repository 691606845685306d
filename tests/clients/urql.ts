import { Client, fetchExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import introspection from "./introspection.json";

// What has no id is part of the object that it stands in.
const objects = introspection.__schema.types.filter((type) => type.kind === "OBJECT");
const withoutId = objects.filter((type) => !type.fields?.some((field) => field.name === "id"));

export function urqlClient(url: string, token: () => string, fetch = globalThis.fetch) {
  const cache = cacheExchange({
    schema: introspection,
    keys: Object.fromEntries(withoutId.map((type) => [type.name, () => null])),
    resolvers: {
      Query: {
        activities: relayPagination(),
        apiKeys: relayPagination(),
        auditLog: relayPagination(),
        calendars: relayPagination(),
        feedLinks: relayPagination(),
        users: relayPagination(),
      },
      Calendar: { users: relayPagination() },
      User: { calendars: relayPagination() },
      Webhook: { deliveries: relayPagination() },
    },
  });
  return new Client({
    url,
    fetch,
    exchanges: [cache, fetchExchange],
    preferGetMethod: false,
    fetchOptions: () => ({ headers: { authorization: `Bearer ${token()}` } }),
  });
}
