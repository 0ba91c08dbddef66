"""The monitoring pages: keys, types and refusals as tools read them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.config import ClusterOptions, JetStreamOptions, Options, RouteUrl
from broker.monitor import pages
from broker.monitor.go_text import duration_text, json_text, time_text, uptime_text
from monitor.trees import clustered, connection, facts, standalone, stream

JETSTREAM = JetStreamOptions(enabled=True, store_dir="/data", max_memory=1 << 30, max_file=1 << 34)
CLUSTERED = Options(
    host="0.0.0.0",
    http_port=8222,
    jetstream=JETSTREAM,
    cluster=ClusterOptions(name="c", port=6222, routes=[RouteUrl("n2", 6222)]),
)


def get(target: str, tree: Any = None, options: Options | None = None) -> tuple[int, Any]:
    """Status, and the page: parsed where it is JSON."""
    path, query = pages.split_target(target)
    answer = pages.page(path, query, tree or clustered(), options or CLUSTERED, facts())
    return answer.status, json.loads(answer.body) if answer.media_type == pages.JSON else answer.body.decode()


def numbers(tree: Any, path: str = "") -> set[str]:
    """What prometheus-nats-exporter makes of a page: every number, by its path."""
    if isinstance(tree, dict):
        return {name for key, value in tree.items() for name in numbers(value, f"{path}_{key}" if path else key)}
    return {path} if isinstance(tree, (int, float)) and not isinstance(tree, bool) else set()


def test_varz_has_the_numbers_that_dashboards_show() -> None:
    _status, page = get("/varz")
    wanted = {
        *("proto", "port", "max_connections", "ping_interval", "ping_max", "http_port", "https_port", "auth_timeout"),
        *("max_control_line", "max_payload", "max_pending", "cluster_pool_size", "tls_timeout", "write_deadline"),
        *(f"jetstream_config_{key}" for key in ("max_memory", "max_storage", "sync_interval")),
        *(f"jetstream_stats_{key}" for key in ("memory", "storage", "reserved_memory", "reserved_storage")),
        *(f"jetstream_stats_{key}" for key in ("accounts", "ha_assets", "api_level", "api_total", "api_errors")),
        *(f"jetstream_meta_{key}" for key in ("cluster_size", "quorum_needed", "pending", "pending_requests")),
        *("mem", "cores", "gomaxprocs", "cpu", "connections", "total_connections", "routes", "remotes", "leafnodes"),
        *(f"{way}_{what}" for way in ("in", "out") for what in ("msgs", "bytes", "client_msgs", "client_bytes")),
        *("slow_consumers", "stale_connections", "stalled_clients", "subscriptions", "http_req_stats_/varz"),
        *(f"slow_consumer_stats_{kind}" for kind in ("clients", "routes", "gateways", "leafs")),
        *(f"stale_connection_stats_{kind}" for kind in ("clients", "routes", "gateways", "leafs")),
    }
    assert wanted <= numbers(page)
    assert page["server_id"].startswith("N") and page["server_name"] == "n1"
    assert page["cluster"]["urls"] == ["n2:6222"]
    assert page["jetstream"]["config"]["store_dir"] == "/data/jetstream"
    assert (page["start"], page["uptime"]) == ("2026-09-21T14:12:15.123456Z", "1m5s")


def test_varz_of_a_plain_server_has_empty_blocks_for_what_is_not_there() -> None:
    _status, page = get("/varz", standalone(), Options())
    assert [page[key] for key in ("cluster", "gateway", "leaf", "mqtt", "websocket", "jetstream")] == [{}] * 6


def test_connz_pages_sorts_and_filters() -> None:
    rows = [connection(cid=cid, in_msgs=cid * 10 % 7, user="u" if cid == 2 else "") for cid in range(1, 6)]
    tree = standalone(connections=rows)
    assert [row["cid"] for row in get("/connz", tree)[1]["connections"]] == [1, 2, 3, 4, 5]
    assert [row["cid"] for row in get("/connz?sort=msgs_from", tree)[1]["connections"]] == [2, 4, 1, 3, 5]
    page = get("/connz?offset=1&limit=2", tree)[1]
    assert [page[key] for key in ("num_connections", "total", "offset", "limit")] == [2, 5, 1, 2]
    page = get("/connz?cid=4", tree)[1]
    assert [page[key] for key in ("num_connections", "total", "limit")] == [1, 5, 1]
    row = get("/connz?user=u&auth=1", tree)[1]["connections"][0]
    assert (row["authorized_user"], row["name_tag"], row["rtt"], row["idle"]) == ("u", "$G", "664µs", "1s")
    assert get("/connz?acc=other", tree)[1]["connections"] == []
    assert get("/connz?mqtt_client=m", tree)[1]["connections"] == []


def test_connz_shows_closed_connections_and_subscriptions() -> None:
    subscriptions = [{"subject": "foo.>", "queue": "q", "sid": "3", "msgs": 7, "max": 9}]
    gone = connection(cid=9, stop_ns=1_790_000_000_000_000_000, reason="Client Closed")
    tree = standalone(connections=[connection(subscriptions=subscriptions)], closed_connections=[gone])
    assert get("/connz?subs=1", tree)[1]["connections"][0]["subscriptions_list"] == ["foo.>"]
    detail = get("/connz?subs=detail", tree)[1]["connections"][0]["subscriptions_list_detail"]
    assert detail == [{"subject": "foo.>", "qgroup": "q", "sid": "3", "msgs": 7, "max": 9, "cid": 1}]
    assert get("/connz?state=closed", tree)[1]["connections"][0]["reason"] == "Client Closed"
    assert get("/connz?state=any", tree)[1]["total"] == 2


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/connz?limit=x", "Error decoding int for 'limit': strconv.Atoi: parsing \"x\": invalid syntax"),
        (
            "/jsz?streams=bad",
            "Error decoding boolean for 'streams': strconv.ParseBool: parsing \"bad\": invalid syntax",
        ),
        ("/connz?sort=bad", "invalid sorting option: bad"),
        ("/connz?state=zz", "Error decoding state for zz"),
        ("/healthz?details=maybe", None),
        ("/connz?cid=" + "9" * 40, None),
        ("/connz?cid=-1", "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax"),
        ("/connz?sort=stop&state=any", "sort by stop only valid on closed connections"),
        ("/subsz?test=a.*", "invalid test subject, must be valid publish subject: a.*"),
        ("/accountz?acc=x", "Account x does not exist"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_as_nats_server_does(target: str, text: str | None) -> None:
    status, body = get(target)
    assert status == 400
    assert text is None or body == text


def test_jsz_nests_accounts_streams_and_consumers_on_request() -> None:
    assert "account_details" not in get("/jsz")[1]
    assert "stream_detail" not in get("/jsz?accounts=true")[1]["account_details"][0]
    account = get("/jsz?consumers=true&config=true&raft=true")[1]["account_details"][0]
    assert account["reserved_memory"] == 18446744073709551615
    first = account["stream_detail"][0]
    assert (first["name"], first["stream_raft_group"], first["cluster"]["leader"]) == ("S", "S-R3F-MZ2dDMUo", "n1")
    assert first["config"]["metadata"] == {"a": "b"}
    assert first["consumer_raft_groups"] == [{"name": "D", "raft_group": "S-R3F-MZ2dDMUo"}]
    assert first["consumer_detail"][0]["config"] == {"durable_name": "D"}
    without = get("/jsz?consumers=true")[1]["account_details"][0]["stream_detail"][0]
    assert "config" not in without and "config" not in without["consumer_detail"][0]
    led = get("/jsz?streams=true&stream-leader-only=true")[1]["account_details"][0]["stream_detail"]
    assert [each["name"] for each in led] == ["S"]


def test_jsz_sums_up() -> None:
    page = get("/jsz")[1]
    assert [page[key] for key in ("streams", "streams_leader", "consumers", "messages", "bytes")] == [2, 1, 1, 2, 86]
    assert page["meta_cluster"]["leader"] == "n2"
    assert page["meta_cluster"]["replicas"][1] == {
        "name": "n3",
        "current": False,
        "offline": True,
        "active": 9,
        "lag": 4,
        "peer": "BXScrY9i",
    }
    assert get("/jsz?leader-only=true") == (400, "filtered response: not leader")
    assert "account_details" in get("/jsz?accounts=1&offset=-1&limit=-1")[1]
    assert "account_details" not in get("/jsz?acc=nope&streams=1")[1]
    assert get("/jsz", standalone())[1]["disabled"] is True


def test_healthz_says_what_is_wrong() -> None:
    assert get("/healthz") == (200, {"status": "ok"})
    status, page = get("/healthz?stream=S")
    assert (status, page["error"]) == (400, '"account" must not be empty when checking stream health')
    assert get("/healthz?account=zz")[0] == 404
    assert get("/healthz?account=$G&stream=S&consumer=D")[0] == 200
    assert get("/healthz?account=$G&stream=S&consumer=E")[0] == 404
    assert get("/healthz?account=$G&stream=missing")[0] == 404
    missing = get("/healthz?account=$G&stream=missing&consumer=D&details=1")[1]["errors"]
    assert missing == [
        {
            "type": "STREAM",
            "account": "$G",
            "stream": "missing",
            "error": 'JetStream stream "missing" not found on account "$G"',
        }
    ]
    starting = clustered(health={"ready": False, "stopped": "", "meta_error": "", "faults": []})
    assert get("/healthz", starting)[0] == 500


def test_healthz_probes_of_the_chart_do_not_depend_on_the_quorum() -> None:
    tree = clustered(health={"ready": True, "stopped": "", "meta_error": "JetStream has no meta leader", "faults": []})
    assert get("/healthz", tree) == (503, {"status": "unavailable", "error": "JetStream has no meta leader"})
    assert get("/healthz?js-server-only=true", tree)[0] == 200
    assert get("/healthz?js-enabled-only=true", tree)[0] == 200
    assert get("/healthz?js-meta-only=true", tree)[0] == 503
    assert get("/healthz?js-enabled-only=true", standalone(), CLUSTERED)[0] == 503


def test_healthz_of_a_node_that_cannot_write_its_log_fails_every_probe_so_that_it_is_restarted() -> None:
    tree = clustered(health={"ready": True, "stopped": "sync failed", "meta_error": "", "faults": []})
    for query in ("", "?js-enabled-only=true", "?js-server-only=true", "?js-meta-only=true"):
        status, page = get(f"/healthz{query}", tree)
        assert (status, page["error"]) == (503, "JetStream stopped: sync failed")


def test_healthz_lists_faults_in_detail() -> None:
    fault = {"stream": "S", "consumer": "", "error": "JetStream stream '$G > S' is not current"}
    tree = clustered(health={"ready": True, "stopped": "", "meta_error": "", "faults": [fault]})
    assert get("/healthz", tree)[0] == 503
    assert get("/healthz?account=$G&stream=S&consumer=D", tree)[0] == 503  # it rides in its stream's group
    assert get("/healthz?account=$G&stream=T", tree)[0] == 200
    status, page = get("/healthz?details=true", tree)
    assert (status, page["status"], page["errors"][0]["type"]) == (503, "error", "STREAM")


def test_metrics_are_prometheus_text() -> None:
    _status, text = get("/metrics")
    lines = text.splitlines()
    assert "ternmq_meta_has_leader 1.0" in lines
    assert 'ternmq_events_total{event="server_ready",level="info"} 1.0' in lines
    assert 'ternmq_stream_messages{stream="S"} 1.0' in lines
    assert 'ternmq_consumer_pending{consumer="D",stream="S"} 0.0' in lines


def test_every_path_answers_whatever_the_server_is() -> None:
    for path in pages.PATHS:
        for tree, options in ((standalone(), Options()), (clustered(), CLUSTERED)):
            assert get(path, tree, options)[0] == 200


def test_a_target_that_is_nonsense_is_no_path() -> None:
    assert pages.split_target("//[::1")[0] not in pages.PATHS
    assert pages.split_target("//varz")[0] not in pages.PATHS
    assert pages.split_target("/varz?" + "a=1&" * 1000)[0] not in pages.PATHS


def test_values_look_as_go_writes_them() -> None:
    assert [duration_text(ns) for ns in (0, 7, 664_000, 1_500_000, 2_000_000_000, 3_601_000_000_000)] == [
        *("0s", "7ns", "664µs", "1.5ms", "2s", "1h0m1s"),
    ]
    assert uptime_text(90_061 * 1_000_000_000) == "1d1h1m1s"
    assert time_text(1_790_000_000_100_000_000).endswith(".1Z")
    assert time_text(0) == "0001-01-01T00:00:00Z"
    assert json_text({"a": "<&>"}, indent=None) == '{"a":"\\u003c\\u0026\\u003e"}'


def test_a_stream_without_replicas_has_no_cluster_block_to_trip_over() -> None:
    row = stream("R1")
    row["info"]["cluster"] = None
    tree = clustered()
    assert tree["jetstream"] is not None
    tree["jetstream"]["streams"] = [row]
    detail = get("/jsz?streams=true", tree)[1]["account_details"][0]["stream_detail"][0]
    assert "cluster" not in detail


def test_subsz_says_what_a_subject_would_reach() -> None:
    subjects = [("foo.*", ""), ("bar", "q"), (">", ""), ("foo.bar.>", "")]
    rows = [{"subject": subject, "queue": queue, "sid": "1", "msgs": 0, "max": 0} for subject, queue in subjects]
    sublist = standalone()["sublist"] | {"num_matches": 4, "cache_hits": 3, "fanouts": [2, 1]}
    tree = standalone(connections=[connection(subscriptions=rows)], sublist=sublist)

    def reached(query: str) -> list[str]:
        return [row["subject"] for row in get("/subsz?subs=1" + query, tree)[1].get("subscriptions_list", [])]

    assert reached("&test=foo.bar") == ["foo.*", ">"]
    assert reached("&test=bar") == ["bar", ">"]
    assert reached("&offset=1&limit=2") == ["bar", ">"]
    assert reached("&acc=other") == []
    page = get("/subscriptionsz", tree)[1]
    assert [page[key] for key in ("cache_hit_rate", "max_fanout", "avg_fanout", "total")] == [0.75, 2, 1.5, 0]
    assert "subscriptions_list" not in page


def test_the_one_account_and_what_is_not_there() -> None:
    tree = clustered()
    tree["server"] |= {"num_connections": 3, "out_msgs": 9, "out_client_msgs": 7}  # type: ignore[typeddict-item]
    assert get("/accountz", tree)[1]["accounts"] == ["$G"]
    detail = get("/accountz?acc=$G", tree)[1]["account_detail"]
    assert (detail["jetstream_enabled"], detail["client_connections"]) == (True, 3)
    (row,) = get("/accstatz", tree)[1]["account_statz"]
    assert (row["conns"], row["sent"]["msgs"], row["sent"]["routes"]["msgs"]) == (3, 9, 2)
    assert get("/accstatz")[1]["account_statz"] == []
    assert len(get("/accstatz?unused=1")[1]["account_statz"]) == 1
    assert (get("/leafz")[1]["leafs"], get("/gatewayz")[1]["outbound_gateways"]) == ([], {})


def test_routez_shows_what_a_route_wants() -> None:
    row = {"subject": "a", "queue": "q", "sid": "R $G a q", "msgs": 0, "max": 0}
    traffic = dict.fromkeys(("in_msgs", "in_bytes", "out_msgs", "out_bytes", "pending_bytes", "start_ns"), 0)
    route = traffic | {"rid": 7, "remote_id": "N", "remote_name": "n2", "did_solicit": True, "is_configured": True}
    route |= {"ip": "1.2.3.4", "port": 6222, "last_activity_ns": 0, "rtt_ns": 136_999, "num_subscriptions": 1}
    tree = standalone(routes=[route | {"subscriptions": [row]}])
    (listed,) = get("/routez?subs=1", tree)[1]["routes"]
    assert (listed["subscriptions"], listed["subscriptions_list"], listed["rtt"]) == (1, ["a"], "136µs")
    (listed,) = get("/routez?subs=detail", tree)[1]["routes"]
    assert listed["subscriptions_list_detail"] == [
        {"subject": "a", "qgroup": "q", "sid": "R $G a q", "msgs": 0, "cid": 7}
    ]


def test_a_long_page_is_not_indented() -> None:
    assert json_text({"a": ["b" * 70_000]}).startswith('{"a":["bb')
    assert json_text({"a": ["b"]}) == '{\n  "a": [\n    "b"\n  ]\n}'
