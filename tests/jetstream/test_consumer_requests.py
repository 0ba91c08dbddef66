"""Creating, changing, listing and deleting consumers: names, defaults, every refusal with nats-server's code and text.

The texts were compared with nats-server 2.15.1.
"""

import pytest

from broker.jetstream.config.consumer_config import FIELDS, ConfigError, ConsumerConfig, config_from_json
from jetstream.consumer_world import SECOND, World

SECOND_10 = 10 * SECOND


def error_of(answer: dict) -> tuple[int, str]:
    return answer["error"]["err_code"], answer["error"]["description"]


def create(world: World, rest: str, config: dict, verb: str = "CONSUMER.CREATE", **more: object) -> dict:
    return world.request(verb, rest, {"stream_name": "S", "config": config, **more})


def test_defaults_of_a_pull_consumer():
    answer = create(World(), "S.C", {"durable_name": "C", "ack_policy": "explicit"})
    assert answer["type"] == "io.nats.jetstream.api.v1.consumer_create_response"
    assert answer["config"] == {
        "durable_name": "C",
        "name": "C",
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": 30 * SECOND,
        "max_deliver": -1,
        "replay_policy": "instant",
        "max_waiting": 512,
        "max_ack_pending": 1000,
        "num_replicas": 0,
        "metadata": {"_nats.req.level": "0", "_nats.ver": "2.15.1", "_nats.level": "5"},
    }
    assert list(answer)[:4] == ["type", "stream_name", "name", "created"]
    assert answer["delivered"] == answer["ack_floor"] == {"consumer_seq": 0, "stream_seq": 0}


def test_defaults_of_an_ephemeral_with_a_made_up_name():
    answer = create(World(), "S", {})
    assert len(answer["name"]) == 8
    assert answer["config"]["ack_policy"] == "none"
    assert answer["config"]["inactive_threshold"] == 5 * SECOND
    assert "ack_wait" not in answer["config"]
    assert "name" not in answer["config"]


def test_defaults_that_come_from_the_stream():
    world = World(consumer_limits={"max_ack_pending": 7, "inactive_threshold": 3 * SECOND})
    config = create(world, "S.C", {"durable_name": "C", "ack_policy": "explicit"})["config"]
    assert (config["max_ack_pending"], config["inactive_threshold"]) == (7, 3 * SECOND)
    assert error_of(create(world, "S.D", {"ack_policy": "explicit", "max_ack_pending": 8})) == (
        10121,
        "consumer max ack pending exceeds system limit of 7",
    )
    assert error_of(create(world, "S.D", {"inactive_threshold": 4 * SECOND}))[0] == 10153


REFUSALS = [
    (
        {"ack_wait": "x"},
        10025,
        "invalid JSON: json: cannot unmarshal string into Go struct field "
        "CreateConsumerRequest.config.ack_wait of type time.Duration",
    ),
    ({"foo": 1}, 10025, 'invalid JSON: json: unknown field "foo"'),
    ({"deliver_policy": "zzz"}, 10025, 'invalid JSON: can not unmarshal "\\"zzz\\""'),
    ({"deliver_policy": 3}, 10025, 'invalid JSON: can not unmarshal "3"'),
    (
        {"opt_start_time": "yesterday"},
        10025,
        'invalid JSON: parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
    ),
    ({"filter_subject": "a..b"}, 10052, "invalid subject"),
    ({"filter_subjects": ["s.a", ""]}, 10139, "consumer filter in FilterSubjects cannot be empty"),
    ({"filter_subjects": ["s.a", "s.*"]}, 10138, "consumer subject filters cannot overlap"),
    (
        {"filter_subject": "s.a", "filter_subjects": ["s.b"]},
        10136,
        "consumer cannot have both FilterSubject and FilterSubjects specified",
    ),
    (
        {"sample_freq": "abc"},
        10095,
        'failed to parse consumer sampling configuration: strconv.Atoi: parsing "abc": invalid syntax',
    ),
    ({"deliver_subject": "a b"}, 10112, "invalid push consumer deliver subject"),
    ({"deliver_subject": "a.*"}, 10079, "consumer deliver subject has wildcards"),
    ({"deliver_subject": "s.x"}, 10081, "consumer deliver subject forms a cycle"),
    ({"deliver_subject": "d", "idle_heartbeat": 1000}, 10083, "consumer idle heartbeat needs to be >= 100ms"),
    ({"deliver_subject": "d", "flow_control": True}, 10108, "consumer with flow control also needs heartbeats"),
    ({"deliver_subject": "d", "max_waiting": 5}, 10080, "consumer in push mode can not set max waiting"),
    ({"deliver_subject": "d", "max_ack_pending": 5}, 10082, "consumer requires ack policy for max ack pending"),
    ({"idle_heartbeat": SECOND}, 10088, "consumer idle heartbeat requires a push based consumer"),
    ({"flow_control": True}, 10089, "consumer flow control requires a push based consumer"),
    ({"rate_limit_bps": 5}, 10086, "consumer in pull mode can not have rate limit set"),
    ({"max_expires": 5}, 10115, "consumer max request expires needs to be >= 1ms"),
    ({"backoff": [1, 2, 3], "max_deliver": 2}, 10116, "max deliver is required to be > length of backoff values"),
    ({"backoff": [-1]}, 10184, "consumer backoff needs to be positive"),
    ({"ack_wait": -1}, 10183, "consumer ack wait needs to be positive"),
    ({"num_replicas": 4}, 10126, "consumer config replica count exceeds parent stream"),
    ({"num_replicas": -1}, 10133, "replicas count cannot be negative"),
    ({"description": "x" * 4097}, 10107, "consumer description is too long, maximum allowed is 4096"),
    ({"metadata": {"k": "x" * 131072}}, 10135, "consumer metadata exceeds maximum size of 128KB"),
    (
        {"deliver_policy": "last_per_subject"},
        10094,
        "consumer delivery policy is deliver last per subject, but optional filter subject is not set",
    ),
    (
        {"deliver_policy": "new", "opt_start_seq": 1},
        10094,
        "consumer delivery policy is deliver new, but optional start sequence is also set",
    ),
    (
        {"deliver_policy": "by_start_sequence"},
        10094,
        "consumer delivery policy is deliver by start sequence, but optional start sequence is not set",
    ),
    (
        {"deliver_policy": "by_start_time"},
        10094,
        "consumer delivery policy is deliver by start time, but optional start time is not set",
    ),
    ({"priority_groups": ["a"]}, 10196, "consumer can not have priority groups when policy is none"),
    (
        {"priority_policy": "overflow"},
        10159,
        "Setting PriorityPolicy requires at least one PriorityGroup to be set",
    ),
    ({"direct": True}, 10090, "consumer direct requires a push based consumer"),
]


@pytest.mark.parametrize(
    ("config", "code", "text"),
    REFUSALS,
)
def test_refusals(config, code, text):
    assert error_of(create(World(), "S.C", config)) == (code, text)


@pytest.mark.parametrize(
    "config",
    [
        {"deliver_subject": "d", "ack_policy": "flow_control", "flow_control": True, "idle_heartbeat": SECOND},
        {"deliver_subject": "d", "direct": True},
    ],
)
def test_what_is_not_built_is_refused_clearly(config):
    code, text = error_of(create(World(), "S.C", config))
    assert code == 10052
    assert text.endswith("not supported by this server")


@pytest.mark.parametrize(
    ("verb", "rest", "config", "code"),
    [
        ("CONSUMER.DURABLE.CREATE", "S.C", {}, 10018),
        ("CONSUMER.DURABLE.CREATE", "S.C", {"durable_name": "D"}, 10017),
        ("CONSUMER.CREATE", "S.C", {"durable_name": "D"}, 10017),
        ("CONSUMER.CREATE", "S", {"durable_name": "D"}, 10020),
        ("CONSUMER.CREATE", "T.C", {}, 10056),
        ("CONSUMER.CREATE", "S.a/b", {}, 10127),
        ("CONSUMER.CREATE", "S.C.s.a", {"filter_subject": "s.b"}, 10131),
        ("CONSUMER.CREATE", "S.C.s.a", {"filter_subjects": ["s.a", "s.b"]}, 10137),
        ("CONSUMER.DURABLE.CREATE", "S." + "x" * 256, {"durable_name": "x" * 256}, 10102),
    ],
)
def test_names_must_agree(verb, rest, config, code):
    assert error_of(create(World(), rest, config, verb))[0] == code


def test_filter_in_the_subject_and_names_in_the_subject():
    world = World()
    assert create(world, "S.C.s.>", {"filter_subject": "s.>", "name": "other"})["config"]["name"] == "C"
    answer = create(world, "S.D", {"durable_name": "D", "ack_policy": "all"}, "CONSUMER.DURABLE.CREATE")
    assert answer["config"]["name"] == "D"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"stream_name": "S", "config": {}, "action": "zap"}, 'unknown consumer action: "zap"'),
        ({"stream_name": "S", "config": {}, "zap": 1}, 'json: unknown field "zap"'),
        (
            {"stream_name": 5},
            "json: cannot unmarshal number into Go struct field CreateConsumerRequest.stream_name of type string",
        ),
    ],
)
def test_malformed_requests(body, text):
    assert error_of(World().request("CONSUMER.CREATE", "S.C", body)) == (10025, "invalid JSON: " + text)


def test_names_in_json_in_any_case_and_null():
    config = config_from_json({"ACK_Policy": "all", "Ack_Wait": None, "deliver_policy": "last"})
    assert (config.ack_policy, config.ack_wait_ns, config.deliver_policy) == ("all", 0, "last")
    with pytest.raises(ConfigError):
        config_from_json([])


def test_every_field_survives_its_json():
    config = ConsumerConfig()
    for _name, attribute, _kind in FIELDS:
        value = getattr(config, attribute)
        if isinstance(value, bool):
            setattr(config, attribute, True)
        elif isinstance(value, int):
            setattr(config, attribute, 1_500_000_001)
        elif attribute in ("filter_subjects", "priority_groups"):
            setattr(config, attribute, ["a", "b"])
    config.backoff_ns = [1, 2]
    config.metadata = {"k": "v"}
    config.description = "é"
    again = config_from_json(config.to_json())
    assert again.same_as(config)
    assert len(FIELDS) == 35


def test_the_three_actions():
    world = World()
    assert error_of(world.create(action="update"))[0] == 10149
    assert "error" not in world.create(action="create")
    assert "error" not in world.create(action="create", metadata={"_nats.ver": "1"})  # the same again
    assert error_of(world.create(action="create", max_deliver=5)) == (10148, "consumer already exists")
    assert world.create(action="update", max_deliver=5)["config"]["max_deliver"] == 5
    assert world.create(max_deliver=6, description="x")["config"]["max_deliver"] == 6


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ack_policy": "none"}, "ack policy can not be updated"),
        ({"deliver_policy": "new"}, "deliver policy can not be updated"),
        ({"max_waiting": 3}, "max waiting can not be updated"),
        ({"replay_policy": "original"}, "replay policy can not be updated"),
        ({"mem_storage": True}, "storage type can not be updated"),
        ({"deliver_subject": "d"}, "can not update pull consumer to push based"),
    ],
)
def test_what_an_update_may_not_change(change, text):
    world = World()
    world.create()
    assert error_of(world.create(**change)) == (10012, text)


def test_limits_and_rules_between_consumers():
    world = World(max_consumers=1)
    world.create("A")
    assert error_of(world.create("B")) == (10026, "maximum consumers limit reached")
    assert "error" not in world.create("A", max_deliver=3)

    queue = World(retention="workqueue")
    assert error_of(queue.create("A", ack_policy="none"))[0] == 10084
    assert error_of(queue.create("A", ack_policy="all"))[0] == 10098
    assert error_of(queue.create("A", deliver_policy="new"))[0] == 10101
    queue.create("A", filter_subject="s.a")
    assert error_of(queue.create("B"))[0] == 10099
    assert error_of(queue.create("B", filter_subject="s.*"))[0] == 10100
    queue.create("B", filter_subject="s.b")
    assert error_of(queue.create("B", filter_subject="s.a"))[0] == 10100
    assert error_of(queue.create("C", filter_subject="s.c", num_replicas=1))[0] == 10134


def test_two_creates_under_way_are_decided_by_the_log():
    """Both pass the leader's early check; the machine lets only one exist."""
    world = World(max_consumers=1)
    from broker.jetstream.api.consumers import handle_consumer
    from broker.jetstream.api.requests import Propose
    from broker.jetstream.api_types import ApiRequest
    from jetstream.consumer_world import Responder

    waiters = []
    for name in ("A", "B"):
        body = b'{"stream_name":"S","config":{"durable_name":"%s"}}' % name.encode()
        request = ApiRequest(f"$JS.API.CONSUMER.CREATE.S.{name}".encode(), b"r", 0, body, "", world.wall_ns)
        answer = handle_consumer("CONSUMER.CREATE", request, world)
        assert isinstance(answer, Propose)
        waiters.append(Responder(answer))
        world.proposed.append((answer.kind, answer.body, True, waiters[-1]))
    world.commit()
    assert b'"name":"A"' in waiters[0].answer
    assert b"10026" in waiters[1].answer
    assert [list(machine.consumers) for machine in world.machines] == [["A"]] * 3


def test_pedantic_requests_are_told_of_corrections():
    world = World()
    answer = create(world, "S.C", {"max_deliver": -7}, pedantic=True)
    assert error_of(answer) == (10157, "pedantic mode: max_deliver must be set to -1")
    assert "error" not in create(world, "S.C", {"max_deliver": -7})


def test_info_names_list_and_delete():
    world = World()
    for name in ("b", "a", "c"):
        world.create(name)
    assert world.request("CONSUMER.NAMES", "S")["consumers"] == ["a", "b", "c"]
    page = world.request("CONSUMER.NAMES", "S", {"offset": 2})
    assert (page["consumers"], page["offset"], page["total"], page["limit"]) == (["c"], 2, 3, 1024)
    assert world.request("CONSUMER.NAMES", "S", {"offset": 9})["offset"] == 3
    assert error_of(world.request("CONSUMER.NAMES", "S", {"offset": "x"}))[0] == 10025
    listed = world.request("CONSUMER.LIST", "S")
    assert ([entry["name"] for entry in listed["consumers"]], listed["limit"]) == (["a", "b", "c"], 256)
    assert error_of(world.request("CONSUMER.INFO", "S.z")) == (10014, "consumer not found")
    assert error_of(world.request("CONSUMER.INFO", "S.a", {"x": 1}))[0] == 10038
    assert world.request("CONSUMER.INFO", "S.a", b"{}")["name"] == "a"
    assert world.request("CONSUMER.DELETE", "S.a") == {
        "type": "io.nats.jetstream.api.v1.consumer_delete_response",
        "success": True,
    }
    assert error_of(world.request("CONSUMER.DELETE", "S.a"))[0] == 10014
    assert [event["action"] for event in world.events("CREATED")] == ["create"] * 3
    assert [event["consumer"] for event in world.events("DELETED")] == ["a"]
