import { graphql } from "relay-runtime";

export const calendar = graphql`
  query CalendarQuery($id: ID!, $first: Int!) {
    node(id: $id) {
      ...Calendar_users @alias(as: "calendar") @arguments(first: $first)
    }
  }
`;

export const users = graphql`
  fragment Calendar_users on Calendar
  @refetchable(queryName: "CalendarUsersQuery")
  @argumentDefinitions(first: { type: "Int!" }, after: { type: "String" }) {
    name
    users(first: $first, after: $after) @connection(key: "Calendar_users") {
      edges {
        node {
          name
        }
      }
      pageInfo {
        endCursor
        hasNextPage
      }
    }
  }
`;
