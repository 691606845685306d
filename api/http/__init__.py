"""GraphQL over HTTP: the endpoint, what it refuses before anything runs, and what it says to browsers."""
