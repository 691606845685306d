// Relay without React: what its hooks do, done by hand.

import { commitMutation, createOperationDescriptor, fetchQuery, getSingularSelector } from "relay-runtime";
import type { ConcreteRequest, Environment, ReaderFragment, Variables } from "relay-runtime";
import { relayEnvironment } from "./relay";
import calendarQuery, { type CalendarQuery } from "./relay/__generated__/CalendarQuery.graphql";
import usersQuery, { type CalendarUsersQuery } from "./relay/__generated__/CalendarUsersQuery.graphql";
import usersFragment, { type Calendar_users$data } from "./relay/__generated__/Calendar_users.graphql";
import linksPageQuery, { type LinksPageQuery } from "./relay/__generated__/LinksPageQuery.graphql";
import linksQuery, { type LinksQuery } from "./relay/__generated__/LinksQuery.graphql";
import linksList, { type Links_list$data } from "./relay/__generated__/Links_list.graphql";
import generateMutation, { type ScreenGenerateMutation } from "./relay/__generated__/ScreenGenerateMutation.graphql";
import screenQuery, { type ScreenQuery } from "./relay/__generated__/ScreenQuery.graphql";
import feedFragment from "./relay/__generated__/Screen_feed.graphql";

export const open = relayEnvironment;

/** What the store holds of an operation, kept there from now on. */
function kept(environment: Environment, request: ConcreteRequest, variables: Variables): any {
  const operation = createOperationDescriptor(request, variables);
  environment.retain(operation);
  return environment.lookup(operation.fragment).data;
}

function masked(environment: Environment, fragment: ReaderFragment, found: unknown): any {
  return environment.lookup(getSingularSelector(fragment, found)!).data;
}

function screen(environment: Environment) {
  const { calendarFeeds } = kept(environment, screenQuery, {});
  return calendarFeeds.map((feed: unknown) => masked(environment, feedFragment, feed));
}

export async function generating(environment: Environment, { calendarId }: { calendarId: string }) {
  await fetchQuery<ScreenQuery>(environment, screenQuery, {}).toPromise();
  const before = screen(environment);
  await new Promise((onCompleted, onError) => {
    const variables = { input: { calendarId } };
    commitMutation<ScreenGenerateMutation>(environment, { mutation: generateMutation, variables, onCompleted, onError });
  });
  return { before, after: screen(environment) };
}

export async function links(environment: Environment, variables: LinksQuery["variables"]) {
  await fetchQuery<LinksQuery>(environment, linksQuery, variables).toPromise();
  for (;;) {
    const { feedLinks }: Links_list$data = masked(environment, linksList, kept(environment, linksQuery, variables));
    if (!feedLinks.pageInfo.hasNextPage) return feedLinks.edges.map(({ node }) => node.name);
    const next = { ...variables, after: feedLinks.pageInfo.endCursor };
    await fetchQuery<LinksPageQuery>(environment, linksPageQuery, next).toPromise();
  }
}

export async function users(environment: Environment, variables: CalendarQuery["variables"]) {
  await fetchQuery<CalendarQuery>(environment, calendarQuery, variables).toPromise();
  for (;;) {
    const { calendar } = kept(environment, calendarQuery, variables).node;
    const { name, users }: Calendar_users$data = masked(environment, usersFragment, calendar);
    if (!users?.pageInfo.hasNextPage) return [name, users?.edges.map(({ node }) => node.name)];
    const next = { ...variables, after: users.pageInfo.endCursor };
    await fetchQuery<CalendarUsersQuery>(environment, usersQuery, next).toPromise();
  }
}

interface Failure {
  source: { errors: { extensions: { code: string } }[] };
}

export async function failing(environment: Environment, variables: LinksQuery["variables"]) {
  const asked = fetchQuery<LinksQuery>(environment, linksQuery, variables).toPromise();
  return asked.catch((error: Failure) => error.source.errors.map(({ extensions }) => extensions.code));
}
