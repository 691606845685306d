import { CombinedGraphQLErrors, gql, type TypedDocumentNode, type Unmasked } from "@apollo/client";
import { apolloClient } from "./apollo";
import * as operations from "./operations";

type Client = ReturnType<typeof apolloClient>;
type Meet = (said: string) => Promise<void>;

const { ScreenDocument, GenerateDocument, UpdateDocument, RevokeDocument, ResetDocument } = operations;
const { LinksDocument, AuditLogDocument } = operations;
const { PushUsersDocument, PushActivitiesDocument, ActivitiesDocument, AgainDocument } = operations;

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

interface Connection {
  edges: unknown[];
  pageInfo: { endCursor: string | null; hasNextPage: boolean };
}

/** The whole list, of which `client` asks for one page after the other. */
async function pages<Data, Variables extends { after?: string | null }, List extends Connection>(
  client: Client,
  query: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  list: (data: Unmasked<Data>) => List,
): Promise<List["edges"]> {
  await client.query({ query, variables });
  const watched = client.watchQuery({ query, variables });
  const subscription = watched.subscribe(() => undefined);
  for (;;) {
    const { edges, pageInfo } = list(client.readQuery({ query, variables })!);
    if (!pageInfo.hasNextPage) {
      subscription.unsubscribe();
      return edges;
    }
    await watched.fetchMore({ variables: { after: pageInfo.endCursor } as Partial<Variables> });
  }
}

export async function links(client: Client, variables: operations.LinksQueryVariables) {
  const edges = await pages(client, LinksDocument, variables, ({ feedLinks }) => feedLinks);
  return edges.map(({ node }) => node.name);
}

export async function entries(client: Client, variables: operations.AuditLogQueryVariables) {
  const edges = await pages(client, AuditLogDocument, variables, ({ auditLog }) => auditLog);
  return edges.map(({ node }) => node.action);
}

export async function pushingUsers(client: Client, { inputs }: { inputs: operations.UpsertUsersInput[] }) {
  const answers = [];
  for (const input of inputs) answers.push(await client.mutate({ mutation: PushUsersDocument, variables: { input } }));
  return answers.map(({ data }) => data?.upsertUsers);
}

export async function pushingActivities(client: Client, { inputs }: { inputs: operations.UpsertActivitiesInput[] }) {
  const answers = [];
  for (const input of inputs) answers.push(await client.mutate({ mutation: PushActivitiesDocument, variables: { input } }));
  return answers.map(({ data }) => data?.upsertActivities);
}

export async function activities(client: Client, variables: operations.ActivitiesQueryVariables) {
  const edges = await pages(client, ActivitiesDocument, variables, ({ activities }) => activities);
  return edges.map(({ node }) => node.title);
}

export async function lookingAgain(client: Client, { input }: { input: operations.UpsertUsersInput }) {
  const { viewer } = (await client.query({ query: ScreenDocument })).data!;
  await client.mutate({ mutation: PushUsersDocument, variables: { input } });
  await client.query({ query: AgainDocument, variables: { id: viewer!.id } });
  return [viewer?.name, client.readQuery({ query: ScreenDocument })?.viewer?.name];
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
