"""Why xent is behind on a table, found by looking into it."""

EXPLAINED: dict[str, str] = {}
