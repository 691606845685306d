import { graphql } from "relay-runtime";

export const screen = graphql`
  query ScreenQuery {
    viewer {
      name
    }
    calendarFeeds {
      ...Screen_feed
    }
  }
`;

export const feed = graphql`
  fragment Screen_feed on CalendarFeed {
    name
    url
    links {
      name
      url
    }
  }
`;

export const generate = graphql`
  mutation ScreenGenerateMutation($input: GenerateCalendarUrlInput!) {
    generateCalendarUrl(input: $input) {
      feed {
        ...Screen_feed
      }
      userErrors {
        __typename
        message
        ... on LinkNameInvalid {
          path
        }
      }
    }
  }
`;
