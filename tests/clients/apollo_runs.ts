import { CombinedGraphQLErrors, gql } from "@apollo/client";
import { apolloClient } from "./apollo";
import * as operations from "./operations";

type Client = ReturnType<typeof apolloClient>;
type Meet = (said: string) => Promise<void>;

const { ScreenDocument, GenerateDocument, UpdateDocument, RevokeDocument, ResetDocument } = operations;
const { LinksDocument, AuditLogDocument } = operations;

export const open = apolloClient;

export async function generating(client: Client, { calendarId }: { calendarId: string }) {
  const before = await client.query({ query: ScreenDocument });
  const input: operations.GenerateCalendarUrlInput = { calendarId, options: { tasksAs: "TODO" } };
  const generated = await client.mutate({ mutation: GenerateDocument, variables: { input } });
  return {
    before: before.data,
    url: generated.data?.generateCalendarUrl.url,
    after: client.readQuery({ query: ScreenDocument }),
  };
}

export async function resetting(client: Client) {
  const before = await client.query({ query: ScreenDocument });
  const reset = await client.mutate({ mutation: ResetDocument, variables: { input: {} } });
  return {
    before: before.data,
    count: reset.data?.resetCalendarFeeds.resetCount,
    after: client.readQuery({ query: ScreenDocument }),
  };
}

export async function changing(client: Client, { linkId, otherId }: { linkId: string; otherId: string }) {
  const where = { where: { everyLink: true }, first: 10 };
  await client.query({ query: ScreenDocument });
  await client.query({ query: LinksDocument, variables: where });
  await client.mutate({ mutation: UpdateDocument, variables: { input: { linkId, name: "Pocket" } } });
  await client.mutate({ mutation: RevokeDocument, variables: { input: { linkId: otherId } } });
  const screen = client.readQuery({ query: ScreenDocument });
  const links = client.readQuery({ query: LinksDocument, variables: where });
  return {
    screen: screen?.calendarFeeds.map((feed) => feed.links.map((link) => link.name)),
    links: links?.feedLinks.edges.map(({ node }) => [node.name, node.status]),
  };
}

export async function refused(client: Client, input: operations.GenerateCalendarUrlInput) {
  const { data } = await client.mutate({ mutation: GenerateDocument, variables: { input } });
  return data?.generateCalendarUrl.userErrors.map((error) => [
    error.__typename,
    error.message,
    error.__typename === "LinkNameInvalid" ? error.path : null,
  ]);
}

export async function links(client: Client, variables: operations.LinksQueryVariables) {
  await client.query({ query: LinksDocument, variables });
  const list = client.watchQuery({ query: LinksDocument, variables });
  const watched = list.subscribe(() => undefined);
  for (;;) {
    const { edges, pageInfo } = client.readQuery({ query: LinksDocument, variables })!.feedLinks;
    if (!pageInfo.hasNextPage) {
      watched.unsubscribe();
      return edges.map(({ node }) => node.name);
    }
    await list.fetchMore({ variables: { after: pageInfo.endCursor } });
  }
}

export async function entries(client: Client, variables: operations.AuditLogQueryVariables) {
  await client.query({ query: AuditLogDocument, variables });
  const list = client.watchQuery({ query: AuditLogDocument, variables });
  const watched = list.subscribe(() => undefined);
  for (;;) {
    const { edges, pageInfo } = client.readQuery({ query: AuditLogDocument, variables })!.auditLog;
    if (!pageInfo.hasNextPage) {
      watched.unsubscribe();
      return edges.map(({ node }) => node.action);
    }
    await list.fetchMore({ variables: { after: pageInfo.endCursor } });
  }
}

export async function failing(client: Client, { text, variables }: { text: string; variables: object }) {
  try {
    await client.query({ query: gql(text), variables });
  } catch (error) {
    if (CombinedGraphQLErrors.is(error)) return error.errors.map(({ extensions }) => extensions?.code);
    throw error;
  }
}

export async function leaving(client: Client, _: object, meet: Meet) {
  const watched = client.watchQuery({ query: ScreenDocument }).subscribe(() => undefined);
  await meet("asked");
  watched.unsubscribe();
  await meet("left");
  return (await client.query({ query: ScreenDocument })).data?.viewer?.name;
}

export async function getting(client: Client) {
  const context = { fetchOptions: { method: "GET" } };
  return (await client.query({ query: ScreenDocument, context })).data?.viewer?.name;
}

export async function parts(client: Client, { texts }: { texts: string[] }) {
  const queries = texts.map((text) => gql(text));
  for (const query of queries) await client.query({ query });
  return queries.map((query) => client.readQuery({ query }));
}
