import { graphql } from "relay-runtime";

export const links = graphql`
  query LinksQuery($where: FeedLinkFilter, $first: Int!) {
    ...Links_list @arguments(where: $where, first: $first)
  }
`;

export const list = graphql`
  fragment Links_list on Query
  @refetchable(queryName: "LinksPageQuery")
  @argumentDefinitions(where: { type: "FeedLinkFilter" }, first: { type: "Int!" }, after: { type: "String" }) {
    feedLinks(where: $where, first: $first, after: $after) @connection(key: "Links_feedLinks") {
      edges {
        node {
          name
          user {
            name
          }
        }
      }
      pageInfo {
        endCursor
        hasNextPage
      }
    }
  }
`;
