"""A Kubernetes API over HTTP in front of a `Store`: discovery, reading, writing, watching, as much as helm asks for.

Not authentication, and no schemas: it says that it checks fields itself, and then does not (kubernetes-validate
does, in test_chart_schemas.py). What is asked for and not here gets a 404 and is remembered in `store.unsupported`.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from deploy.kube_protobuf import read_secret
from deploy.kube_store import RESOURCES, Key, Object, Refused, Store

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0", "platform": "linux/amd64"}
WATCH_S = 30.0  # how long a watch stays open without its client asking for more
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


@dataclass
class Request:
    """A path taken apart: /api/v1/namespaces/N/pods/NAME, /apis/apps/v1/… ; `name` empty: the collection."""

    group: str
    plural: str
    namespace: str
    name: str
    query: dict[str, str]

    @property
    def key(self) -> Key:
        return (self.group, self.plural, self.namespace, self.name)


class Handler(BaseHTTPRequestHandler):
    """One request. `store` is set on the class that `serve` makes."""

    protocol_version = "HTTP/1.1"
    store: Store

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._answer(self._read)

    def do_POST(self) -> None:
        self._answer(self._create)

    def do_PUT(self) -> None:
        self._answer(lambda: (200, self.store.replace(self._request().key, self._body())))

    def do_PATCH(self) -> None:
        self._answer(self._patch)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def _answer(self, act: Any) -> None:
        try:
            code, page = act()
        except Refused as refused:
            code = refused.code
            page = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                    "reason": refused.reason, "message": str(refused)}  # fmt: skip
        if page is None:
            return  # a watch has answered by itself
        body = json.dumps(page).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> Object:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if "protobuf" in self.headers.get("Content-Type", ""):
            return read_secret(body)
        loaded = yaml.safe_load(body) if "yaml" in self.headers.get("Content-Type", "") else json.loads(body or b"{}")
        assert isinstance(loaded, dict)
        return loaded

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        steps = parts.path.strip("/").split("/")
        group = steps[1] if steps[0] == "api" else "/".join(steps[1:3])
        rest = steps[2:] if steps[0] == "api" else steps[3:]
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if len(rest) not in (1, 2) or rest[0] not in RESOURCES.get(group, {}):
            self.store.unsupported.append(f"{self.command} {parts.path}")
            raise Refused(404, "NotFound", f"the server could not find the requested resource {parts.path}")
        return Request(group, rest[0], namespace, rest[1] if len(rest) == 2 else "", query)

    # Reading

    def _read(self) -> tuple[int, Any]:
        path = urlsplit(self.path).path.rstrip("/")
        if path == "/version":
            return 200, VERSION
        if path in ("/api", "/apis"):
            return 200, _groups(path)
        if path == "/openapi/v3":
            return 200, {
                "paths": {_root(group)[1:]: {"serverRelativeURL": f"/openapi/v3{_root(group)}"} for group in RESOURCES}
            }
        if path.startswith("/openapi/v3/"):
            group = next(group for group in RESOURCES if path == f"/openapi/v3{_root(group)}")
            return 200, _field_validation(group)
        group = path.removeprefix("/api/").removeprefix("/apis/")
        if group in RESOURCES:
            return 200, _resources(group)
        request = self._request()
        if request.name:
            return 200, self.store.get(request.key)
        if request.query.get("watch") in ("true", "1"):
            return 200, self._watch(request)
        found = self.store.find(request.group, request.plural, request.namespace, _selector(request))
        found = [each for each in found if _has_field(each, request)]
        kind = RESOURCES[request.group][request.plural]
        page = {"apiVersion": request.group, "kind": f"{kind}List", "items": found}
        return 200, page | {"metadata": {"resourceVersion": str(self.store.version)}}

    def _watch(self, request: Request) -> None:
        """Events as lines, until nothing happened for a while or the client is gone."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        seen = int(request.query.get("resourceVersion") or "0")
        if not seen:
            seen = self._begin(request)
        quiet = False
        while not quiet:
            with self.store.changed:
                quiet = not self.store.changed.wait_for(lambda last=seen: self.store.version > last, WATCH_S)
                news = [event for event in self.store.events if event[0] > seen]
                seen = self.store.version
            for _version, what, key, found in news:
                is_here = key[:2] == request.key[:2] and request.namespace in ("", key[2])
                if is_here and _selector(request).items() <= found["metadata"].get("labels", {}).items():
                    if _has_field(found, request):
                        self._chunk(json.dumps({"type": what, "object": found}).encode() + b"\n")
        self._chunk(b"")

    def _begin(self, request: Request) -> int:
        """What is there already; and where the client asked for it, a word that this was all."""
        with self.store.changed:
            version = self.store.version
            found = self.store.find(request.group, request.plural, request.namespace, _selector(request))
        for each in found:
            if _has_field(each, request):
                self._chunk(json.dumps({"type": "ADDED", "object": each}).encode() + b"\n")
        if request.query.get("sendInitialEvents") == "true":
            metadata = {"resourceVersion": str(version), "annotations": {"k8s.io/initial-events-end": "true"}}
            kind = RESOURCES[request.group][request.plural]
            mark = {"kind": kind, "apiVersion": request.group, "metadata": metadata}
            self._chunk(json.dumps({"type": "BOOKMARK", "object": mark}).encode() + b"\n")
        return version

    def _chunk(self, data: bytes) -> None:
        with suppress(BrokenPipeError):  # the client has seen enough
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    # Writing

    def _create(self) -> tuple[int, Any]:
        request = self._request()
        sent = self._body()
        request.name = sent["metadata"]["name"]
        return 201, self.store.create(request.key, sent)

    def _patch(self) -> tuple[int, Any]:
        request = self._request()
        kind = self.headers.get("Content-Type", "")
        if "json-patch" in kind:
            raise Refused(415, "UnsupportedMediaType", kind)
        if "apply-patch" not in kind:
            return 200, self.store.merge(request.key, self._body())
        sent = self._body()
        try:
            return 200, self.store.replace(request.key, sent)  # one owner: what it leaves out is gone
        except Refused as refused:
            if refused.code != 404:
                raise
            return 201, self.store.create(request.key, sent)

    def _delete(self) -> tuple[int, Any]:
        request = self._request()
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        return 200, self.store.delete(request.key)


def _root(group: str) -> str:
    return f"/apis/{group}" if "/" in group else f"/api/{group}"


def _field_validation(group: str) -> Object:
    """A page of OpenAPI that says no more than that PATCH of each kind takes the parameter `fieldValidation`."""
    name, _slash, version = group.rpartition("/")
    paths: Object = {}
    for kind in RESOURCES[group].values():
        marks = {"group": name, "version": version, "kind": kind}
        parameters = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
        paths[f"/{kind}"] = {
            "patch": {"parameters": parameters, "x-kubernetes-group-version-kind": marks, "responses": {}}
        }
    return {"openapi": "3.0.0", "info": {"title": group, "version": version}, "paths": paths}


def _groups(path: str) -> Object:
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    groups = []
    for name in RESOURCES:
        if "/" in name:
            version = {"groupVersion": name, "version": name.split("/")[1]}
            groups.append({"name": name.split("/")[0], "versions": [version], "preferredVersion": version})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _resources(group: str) -> Object:
    rows = [
        {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": VERBS}
        for plural, kind in RESOURCES[group].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": rows}


def _selector(request: Request) -> dict[str, str]:
    text = request.query.get("labelSelector", "")
    return dict(part.split("=", 1) for part in text.replace("==", "=").split(",") if part)


def _has_field(found: Object, request: Request) -> bool:
    text = request.query.get("fieldSelector", "")
    return not text.startswith("metadata.name=") or found["metadata"]["name"] == text.removeprefix("metadata.name=")


class ApiServer:
    """A context manager: serves while it is open."""

    def __init__(self, store: Store, folder: Path) -> None:
        """`folder` gets the kubeconfig."""
        self.store = store
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"store": store}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.kubeconfig = folder / "kubeconfig"

    def __enter__(self) -> ApiServer:
        context = {"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}
        settings = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test", "contexts": [context],
            "clusters": [{"name": "test", "cluster": {"server": self.url}}], "users": [{"name": "test", "user": {}}],
        }  # fmt: skip
        self.kubeconfig.write_text(yaml.safe_dump(settings))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
