"""Memory of idle keep-alive connections: so many, each after one request."""

import socket
import time

from .processes import allow_files, resident
from .proxies import NAMES, Proxy, trusting
from .report import table
from .scenarios import HOST

FIRST = 200  # connections before the first look, so that what is made once does not count
BATCH, REST = 500, 1.5  # so many at a time, then seconds until they are idle: a crowd of new ones is another question
REQUEST = f"GET /small HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def measure(site, count, say):
    """{(proxy, tls): octets per connection, or why not}."""
    if allow_files() < 2 * count + 1000:
        raise SystemExit(f"idle: {2 * count + 1000} open files are needed, {allow_files()} are allowed; choose fewer")
    results = {}
    for name in NAMES:
        for tls in (False, True):
            say(f"idle: {count} connections{' over TLS' if tls else ''}, {name}")
            results[name, tls] = one(site, name, tls, count)
    return results


def one(site, name, tls, count):
    proxy = Proxy(site, name)
    opened = []
    try:
        for _ in range(FIRST):
            opened.append(used(proxy, tls))
        before = settled(proxy.pid)
        for number in range(count):
            if number % BATCH == 0:
                time.sleep(REST)
            opened.append(used(proxy, tls))
        return (settled(proxy.pid) - before) / count
    except OSError as error:
        return f"{error} after {len(opened)} connections"
    finally:
        for connection in opened:
            connection.close()
        proxy.stop()


def used(proxy, tls):
    """A connection that has had one answer and stays open."""
    connection = socket.create_connection(("127.0.0.1", proxy.https_port if tls else proxy.http_port), 10)
    if tls:
        connection = trusting_once().wrap_socket(connection, server_hostname=HOST)
    connection.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"s" * 128):
        more = connection.recv(4096)
        if not more:
            raise OSError(f"closed after {answer[:80]!r}")
        answer += more
    if b" 200 " not in answer.partition(b"\r\n")[0]:
        raise OSError(f"answered {answer[:80]!r}")
    return connection


def trusting_once(kept=[]):  # noqa: B006 one context for all connections
    if not kept:
        kept.append(trusting())
    return kept[0]


def settled(pid):
    time.sleep(1)
    return resident(pid)


def lines(results, count):
    """As a table."""
    rows = [[name, *(octets_text(results[name, tls]) for tls in (False, True))] for name in NAMES]
    head = ["proxy", "HTTP/1.1", "HTTP/1.1 over TLS"]
    return [f"Growth of resident memory by {count} connections, for each of them.", "", *table(head, rows)]


def octets_text(value):
    return value if isinstance(value, str) else f"{value / 1024:.1f} KiB"


def as_json(results, count):
    values = {name: {kind: results[name, kind == "tls"] for kind in ("plain", "tls")} for name in NAMES}
    return {"connections": count, "octets_per_connection": values}
