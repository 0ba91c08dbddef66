"""The files by which others find a running server: the pid file and the ports file.

Is: writing and removing them in the form that the clients' test harnesses read.
Invariants: the pid file holds digits and no newline (some readers parse it untrimmed); the ports file is named after
the program as it was called and the pid that was spawned, and appears at once with its whole content.
Read next: `server.py`, which writes them when the listeners are open and removes the ports file at a clean exit.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import socket
import struct
from typing import Final

SIOCGIFADDR: Final = 0x8915
IPV6_ADDRESSES: Final = "/proc/net/if_inet6"


def write_pid_file(path: str) -> None:
    """Errors: OSError."""
    with open(path, "w", encoding="ascii") as file:
        file.write(str(os.getpid()))


def remove_file(path: str) -> None:
    """Removes a file that may be gone already."""
    try:
        os.remove(path)
    except OSError:
        return


def ports_file_path(directory: str, argv0: str) -> str:
    return os.path.join(directory, f"{os.path.basename(argv0)}_{os.getpid()}.ports")


def write_ports_file(directory: str, argv0: str, listeners: dict[str, tuple[str, int]]) -> str:
    """Writes where we listen and returns the file's path. Errors: OSError.

    `listeners`: `nats`, `monitoring`, `cluster` → the bound host and port.
    """
    schemes = {"nats": "nats", "monitoring": "http", "cluster": "nats"}
    ports = {
        kind: [f"{schemes[kind]}://{address}" for address in expanded_addresses(host, port)]
        for kind, (host, port) in listeners.items()
    }
    path = ports_file_path(directory, argv0)
    unfinished = path + ".tmp"
    with open(unfinished, "w", encoding="ascii") as file:
        file.write(json.dumps(ports, separators=(",", ":")))
    os.replace(unfinished, path)  # a reader that polls never sees half a file
    return path


def expanded_addresses(host: str, port: int) -> list[str]:
    """`host:port`; for an unspecified host, one per address of this machine."""
    try:
        is_unspecified = host == "" or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        is_unspecified = False
    hosts = local_addresses() if is_unspecified else [host]
    return [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in hosts]


def local_addresses() -> list[str]:
    """All addresses of this machine's interfaces, loopback first; IPv4 before IPv6."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _index, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue  # an interface without an IPv4 address
            found.append(socket.inet_ntoa(answer[20:24]))
    try:
        with open(IPV6_ADDRESSES, encoding="ascii") as file:
            for line in file:
                found.append(str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))))
    except (OSError, ValueError, IndexError):
        pass  # no IPv6 here, or another kernel
    found.sort(key=lambda address: not ipaddress.ip_address(address).is_loopback)
    return found or ["127.0.0.1"]


def advertised_addresses(host: str, port: int) -> list[str]:
    """What clients and peers elsewhere may be told: for an unspecified host, the addresses reachable from outside."""
    if host not in ("", "0.0.0.0", "::"):
        return expanded_addresses(host, port)
    outside = [
        address
        for address in local_addresses()
        if not ipaddress.ip_address(address).is_loopback and not ipaddress.ip_address(address).is_link_local
    ]
    return [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in outside or ["127.0.0.1"]]
