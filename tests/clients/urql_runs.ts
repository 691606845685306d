import { gql, type OperationResult, type TypedDocumentNode } from "@urql/core";
import * as operations from "./operations";
import { urqlClient } from "./urql";

type Client = ReturnType<typeof urqlClient>;
type Meet = (said: string) => Promise<void>;

const { ScreenDocument, GenerateDocument, UpdateDocument, RevokeDocument, ResetDocument } = operations;
const { LinksDocument, AuditLogDocument } = operations;
const { PushUsersDocument, PushActivitiesDocument, ActivitiesDocument, AgainDocument } = operations;

export const open = urqlClient;

export async function generating(client: Client, { calendarId }: { calendarId: string }) {
  const before = await client.query(ScreenDocument, {});
  const input: operations.GenerateCalendarUrlInput = { calendarId, options: { tasksAs: "TODO" } };
  const generated = await client.mutation(GenerateDocument, { input });
  return {
    before: before.data,
    url: generated.data?.generateCalendarUrl.url,
    after: client.readQuery(ScreenDocument, {})?.data,
  };
}

export async function resetting(client: Client) {
  const before = await client.query(ScreenDocument, {});
  const reset = await client.mutation(ResetDocument, { input: {} });
  return {
    before: before.data,
    count: reset.data?.resetCalendarFeeds.resetCount,
    after: client.readQuery(ScreenDocument, {})?.data,
  };
}

export async function changing(client: Client, { linkId, otherId }: { linkId: string; otherId: string }) {
  const where = { where: { everyLink: true }, first: 10 };
  await client.query(ScreenDocument, {});
  await client.query(LinksDocument, where);
  await client.mutation(UpdateDocument, { input: { linkId, name: "Pocket" } });
  await client.mutation(RevokeDocument, { input: { linkId: otherId } });
  const screen = client.readQuery(ScreenDocument, {})?.data;
  const links = client.readQuery(LinksDocument, where)?.data;
  return {
    screen: screen?.calendarFeeds.map((feed) => feed.links.map((link) => link.name)),
    links: links?.feedLinks.edges.map(({ node }) => [node.name, node.status]),
  };
}

export async function refused(client: Client, input: operations.GenerateCalendarUrlInput) {
  const { data } = await client.mutation(GenerateDocument, { input });
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
async function pages<Data, Variables extends object, List extends Connection>(
  client: Client,
  query: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  list: (data: Data) => List,
): Promise<List["edges"]> {
  for (let after: string | null = null; ; ) {
    const { data, error }: OperationResult<Data> = await client.query(query, { ...variables, after });
    if (!data) throw error;
    const { edges, pageInfo } = list(data);
    if (!pageInfo.hasNextPage) return edges;
    after = pageInfo.endCursor;
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
  for (const input of inputs) answers.push(await client.mutation(PushUsersDocument, { input }));
  return answers.map(({ data }) => data?.upsertUsers);
}

export async function pushingActivities(client: Client, { inputs }: { inputs: operations.UpsertActivitiesInput[] }) {
  const answers = [];
  for (const input of inputs) answers.push(await client.mutation(PushActivitiesDocument, { input }));
  return answers.map(({ data }) => data?.upsertActivities);
}

export async function activities(client: Client, variables: operations.ActivitiesQueryVariables) {
  const edges = await pages(client, ActivitiesDocument, variables, ({ activities }) => activities);
  return edges.map(({ node }) => node.title);
}

export async function lookingAgain(client: Client, { input }: { input: operations.UpsertUsersInput }) {
  const { viewer } = (await client.query(ScreenDocument, {})).data!;
  await client.mutation(PushUsersDocument, { input });
  await client.query(AgainDocument, { id: viewer!.id });
  return [viewer?.name, client.readQuery(ScreenDocument, {})?.data?.viewer?.name];
}

export async function failing(client: Client, { text, variables }: { text: string; variables: object }) {
  const { error } = await client.query(gql(text), variables);
  return error?.graphQLErrors.map(({ extensions }) => extensions.code);
}

export async function leaving(client: Client, _: object, meet: Meet) {
  const watched = client.query(ScreenDocument, {}).subscribe(() => undefined);
  await meet("asked");
  watched.unsubscribe();
  await meet("left");
  return (await client.query(ScreenDocument, {})).data?.viewer?.name;
}

export async function getting(client: Client) {
  const { data } = await client.query(ScreenDocument, {}, { preferGetMethod: "force" });
  return data?.viewer?.name;
}

export async function parts(client: Client, { texts }: { texts: string[] }) {
  const queries = texts.map((text) => gql(text));
  for (const query of queries) await client.query(query, {});
  return queries.map((query) => client.readQuery(query, {})?.data);
}
