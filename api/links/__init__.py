"""Calendar feeds and their links: shown, generated, reset, managed, limited by a policy, and previewed."""
