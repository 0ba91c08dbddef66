"""The meta group: which streams exist, who holds them, who is in the cluster; and requests that change it. Start at
`meta` (the machine) and `assignments` (what a node makes of it)."""
