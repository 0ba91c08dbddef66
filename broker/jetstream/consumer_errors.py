"""The consumers' page of the table of API errors: NATS's codes and texts.

Texts that carry a value are functions. Not here: errors of streams and of the API in general (`api_errors`).
"""

from typing import Final

from broker.jetstream.api_errors import ApiError

CONSUMER_NAME_EXISTS: Final = ApiError(400, 10013, "consumer name already in use")
CONSUMER_NOT_FOUND: Final = ApiError(404, 10014, "consumer not found")
DURABLE_NAME_NOT_IN_SUBJECT: Final = ApiError(
    400, 10016, "consumer expected to be durable but no durable name set in subject"
)
DURABLE_NAME_NOT_MATCHING: Final = ApiError(
    400, 10017, "consumer name in subject does not match durable name in request"
)
DURABLE_NAME_NOT_SET: Final = ApiError(400, 10018, "consumer expected to be durable but a durable name was not set")
EPHEMERAL_WITH_DURABLE_NAME: Final = ApiError(
    400, 10020, "consumer expected to be ephemeral but a durable name was set in request"
)
MAXIMUM_CONSUMERS: Final = ApiError(400, 10026, "maximum consumers limit reached")
DELIVER_TO_WILDCARDS: Final = ApiError(400, 10079, "consumer deliver subject has wildcards")
PUSH_MAX_WAITING: Final = ApiError(400, 10080, "consumer in push mode can not set max waiting")
DELIVER_CYCLE: Final = ApiError(400, 10081, "consumer deliver subject forms a cycle")
MAX_PENDING_NEEDS_ACKS: Final = ApiError(400, 10082, "consumer requires ack policy for max ack pending")
SMALL_HEARTBEAT: Final = ApiError(400, 10083, "consumer idle heartbeat needs to be >= 100ms")
PULL_REQUIRES_ACK: Final = ApiError(
    400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream"
)
PULL_WITH_RATE_LIMIT: Final = ApiError(400, 10086, "consumer in pull mode can not have rate limit set")
HEARTBEAT_REQUIRES_PUSH: Final = ApiError(400, 10088, "consumer idle heartbeat requires a push based consumer")
FLOW_CONTROL_REQUIRES_PUSH: Final = ApiError(400, 10089, "consumer flow control requires a push based consumer")
DIRECT_REQUIRES_PUSH: Final = ApiError(400, 10090, "consumer direct requires a push based consumer")
DIRECT_REQUIRES_EPHEMERAL: Final = ApiError(400, 10091, "consumer direct requires an ephemeral consumer")
WORKQUEUE_REQUIRES_EXPLICIT_ACK: Final = ApiError(400, 10098, "workqueue stream requires explicit ack")
WORKQUEUE_MULTIPLE_UNFILTERED: Final = ApiError(
    400, 10099, "multiple non-filtered consumers not allowed on workqueue stream"
)
WORKQUEUE_NOT_UNIQUE: Final = ApiError(400, 10100, "filtered consumer not unique on workqueue stream")
WORKQUEUE_NOT_DELIVER_ALL: Final = ApiError(400, 10101, "consumer must be deliver all on workqueue stream")
NAME_TOO_LONG: Final = ApiError(400, 10102, "consumer name is too long, maximum allowed is 255")
DESCRIPTION_TOO_LONG: Final = ApiError(400, 10107, "consumer description is too long, maximum allowed is 4096")
FLOW_CONTROL_NEEDS_HEARTBEATS: Final = ApiError(400, 10108, "consumer with flow control also needs heartbeats")
INVALID_DELIVER_SUBJECT: Final = ApiError(400, 10112, "invalid push consumer deliver subject")
MAX_EXPIRES_TOO_SMALL: Final = ApiError(400, 10115, "consumer max request expires needs to be >= 1ms")
MAX_DELIVER_BACKOFF: Final = ApiError(400, 10116, "max deliver is required to be > length of backoff values")
REPLICAS_EXCEED_STREAM: Final = ApiError(400, 10126, "consumer config replica count exceeds parent stream")
NAME_WITH_PATH_SEPARATORS: Final = ApiError(400, 10127, "Consumer name can not contain path separators")
FILTER_NOT_MATCHING_SUBJECT: Final = ApiError(
    400, 10131, "Consumer create request did not match filtered subject from create subject"
)
DURABLE_AND_NAME_DIFFER: Final = ApiError(
    400, 10132, "Consumer Durable and Name have to be equal if both are provided"
)
REPLICAS_MUST_MATCH_STREAM: Final = ApiError(
    400, 10134, "consumer config replicas must match interest retention stream's replicas"
)
METADATA_TOO_LONG: Final = ApiError(400, 10135, "consumer metadata exceeds maximum size of 128KB")
DUPLICATE_FILTERS: Final = ApiError(
    400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified"
)
MULTIPLE_FILTERS_IN_SUBJECT: Final = ApiError(
    400, 10137, "consumer with multiple subject filters cannot use subject based API"
)
OVERLAPPING_FILTERS: Final = ApiError(400, 10138, "consumer subject filters cannot overlap")
EMPTY_FILTER: Final = ApiError(400, 10139, "consumer filter in FilterSubjects cannot be empty")
CONSUMER_EXISTS: Final = ApiError(400, 10148, "consumer already exists")
CONSUMER_DOES_NOT_EXIST: Final = ApiError(400, 10149, "consumer does not exist")
PRIORITY_POLICY_WITHOUT_GROUP: Final = ApiError(
    400, 10159, "Setting PriorityPolicy requires at least one PriorityGroup to be set"
)
NO_SUCH_GROUP: Final = ApiError(400, 10160, "Provided priority group does not exist for this consumer")
EMPTY_GROUP_NAME: Final = ApiError(400, 10161, "Group name cannot be an empty string")
INVALID_GROUP_NAME: Final = ApiError(
    400, 10162, "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters"
)
PUSH_WITH_PRIORITY_GROUP: Final = ApiError(400, 10178, "priority groups can not be used with push consumers")
PRIORITY_GROUPS_WITHOUT_POLICY: Final = ApiError(
    400, 10196, "consumer can not have priority groups when policy is none"
)
PRIORITY_TIMEOUT_WITHOUT_POLICY: Final = ApiError(400, 10197, "PinnedTTL cannot be set when PriorityPolicy is none")
ACK_WAIT_NEGATIVE: Final = ApiError(400, 10183, "consumer ack wait needs to be positive")
BACKOFF_NEGATIVE: Final = ApiError(400, 10184, "consumer backoff needs to be positive")


def create_failed(text: str) -> ApiError:
    """Refused updates."""
    return ApiError(500, 10012, text)


def invalid_reset(text: str) -> ApiError:
    """The consumer cannot begin again there."""
    return ApiError(400, 10204, f"invalid reset: {text}")


def invalid_policy(text: str) -> ApiError:
    """Deliver policy and start position do not fit."""
    return ApiError(400, 10094, text)


def invalid_sampling(text: str) -> ApiError:
    """`sample_freq` is no number."""
    return ApiError(400, 10095, f"failed to parse consumer sampling configuration: {text}")


def max_ack_pending_excess(limit: int) -> ApiError:
    """More than the stream or the server allows."""
    return ApiError(400, 10121, f"consumer max ack pending exceeds system limit of {limit}")


def max_request_batch_excess(limit: int) -> ApiError:
    """A pull request may ask for more at once than the server allows."""
    return ApiError(400, 10125, f"consumer max request batch exceeds server limit of {limit}")


def inactive_threshold_excess(limit: str) -> ApiError:
    """Longer than the stream allows."""
    return ApiError(400, 10153, f"consumer inactive threshold exceeds system limit of {limit}")
