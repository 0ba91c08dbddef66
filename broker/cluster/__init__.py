"""The cluster: Raft groups, assignments, routes and the links between nodes. Pure: no sockets, no clock."""
