"""GraphQL clients and tools of others, at work on the API."""
