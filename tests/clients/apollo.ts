import { ApolloClient, HttpLink, InMemoryCache } from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { relayStylePagination } from "@apollo/client/utilities";
import fragments from "./fragments";

export function apolloClient(uri: string, token: () => string, fetch = globalThis.fetch) {
  const authorization = new SetContextLink(({ headers }) => ({
    headers: { ...headers, authorization: `Bearer ${token()}` },
  }));
  const cache = new InMemoryCache({
    possibleTypes: fragments.possibleTypes,
    typePolicies: {
      Query: {
        fields: {
          activities: relayStylePagination(["calendarId", "where"]),
          apiKeys: relayStylePagination(),
          auditLog: relayStylePagination(["where"]),
          calendars: relayStylePagination(["where"]),
          feedLinks: relayStylePagination(["where"]),
          users: relayStylePagination(["where"]),
        },
      },
      Calendar: { fields: { users: relayStylePagination() } },
      User: { fields: { calendars: relayStylePagination() } },
      Webhook: { fields: { deliveries: relayStylePagination() } },
      // What has no id is merged into the object that it stands in; of the policy there is but one.
      FeedOptions: { merge: true },
      FeedPolicy: { keyFields: [] },
      FeedPreview: { merge: true },
      Recurrence: { merge: true },
      SubscribeLinks: { merge: true },
    },
  });
  return new ApolloClient({ cache, link: authorization.concat(new HttpLink({ uri, fetch })) });
}
