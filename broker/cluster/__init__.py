"""The cluster: Raft groups, assignments, routes and the links between nodes. Pure: no sockets, no clock.

Start at `service` (JetStream on one node) and `dispatch` (which request goes where). Rooms, from the wire upwards:

    routes   interest and messages between servers, in the NATS route protocol
    links    what the nodes of a cluster say to each other besides
    groups   the Raft groups of a node and their one log
    repair   replicas that are behind or damaged
    streams  one stream on this node, at its leader above all
    meta     which streams exist, who holds them, who is in the cluster
"""
