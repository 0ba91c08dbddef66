"""What clients ask of a stream and its consumers on `$JS.API.…`, and the answers; the leader of the stream gives them.
Start at `requests`."""
