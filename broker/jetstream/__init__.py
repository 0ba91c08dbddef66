"""JetStream: replicated streams and consumers as pure functions of a log. Start at `stream` (the machine) and `ops`
(its log). Beside them: what every room shares (fields and errors of the API, times, names, the store's Protocol) and
how messages leave a stream (`retention`, `aging`). Rooms, from a request to its effects:

    api         requests on `$JS.API.…` about streams and consumers, and their answers
    config      configurations, their checks and defaults
    publishing  from a publish to a stored message
    consumers   consumers as every replica knows them; dead letters
    delivery    consumers as their leader serves them
    sources     messages that come from other streams
    schedules   messages that make messages
    backups     snapshots and restores
"""
