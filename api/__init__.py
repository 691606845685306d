"""GraphQL and the composition root: `app.py` wires everything together, `cli.py` is the way in."""
