"""What a server allows any stream and consumer: `jetstream { limits { … } }` of its configuration; 0 = no limit.

Looked at early, where a stream or consumer is asked for; never when an entry is applied, as nodes may be configured
differently.
"""

from typing import Final


class ServerLimits:
    """Limits of one server."""

    def __init__(
        self,
        clustered: bool,
        duplicate_window_ns: int = 0,
        max_ack_pending: int = 0,
        max_request_batch: int = 0,
        max_ha_assets: int = 0,
        default_max_consumers: int = 0,
    ) -> None:
        self.clustered: Final = clustered
        self.duplicate_window_ns: Final = duplicate_window_ns
        self.max_ack_pending: Final = max_ack_pending  # of a consumer
        self.max_request_batch: Final = max_request_batch  # of a pull consumer
        self.max_ha_assets: Final = max_ha_assets  # replicated groups on a server, with the meta group
        self.default_max_consumers: Final = default_max_consumers  # of a stream that says nothing about it


NO_LIMITS: Final = ServerLimits(clustered=True)
