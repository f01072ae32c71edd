"""The three proxies: how each is started, and whether all send the same to the backend."""

import http.client
import json
import os
import socket
import ssl

from .processes import wait_for
from .scenarios import HOST
from .site import answers, free_port

NAMES = ("portcullis", "nginx", "haproxy")


class Proxy:
    """A running proxy."""

    def __init__(self, site, name, cpus=None, prefix=(), access_log=False):
        self.site, self.name, self.prefix, self.access_log = site, name, list(prefix), access_log
        self.cpus = cpus or site.proxy_cpus
        self.http_port = self.https_port = self.http2_port = 0
        self.admin = None
        self.process = getattr(self, f"start_{name}")()

    @property
    def pid(self):
        return self.process.pid

    def port(self, scenario):
        """Where a scenario's requests go."""
        if scenario.tls:
            return self.https_port
        return self.http_port if scenario.protocol == "h1" else self.http2_port

    def stop(self):
        self.site.children.stop(self.process)

    def start_nginx(self):
        return self.start_configured("nginx.conf", lambda conf: ["nginx", "-p", self.site.folder, "-c", conf])

    def start_haproxy(self):
        return self.start_configured("haproxy.cfg", lambda conf: ["haproxy", "-db", "-f", conf])

    def start_configured(self, template, command):
        self.http_port, self.https_port, self.http2_port = free_port(), free_port(), free_port()
        values = {"http_port": self.http_port, "https_port": self.https_port, "http2_port": self.http2_port}
        values["workers"] = len(self.cpus)
        values["access_log"] = self.site.folder / "access.log" if self.access_log else "off"
        conf = self.site.write(template, template, **values)
        process = self.start(command(conf))
        wait_for(self.name, lambda: answers(self.http_port) and answers(self.https_port), process)
        return process

    def start_portcullis(self):
        # The program watches the folder and the one above it, and would wake for whatever else is written there.
        manifests = self.site.folder / "portcullis" / "manifests"
        manifests.mkdir(parents=True, exist_ok=True)
        self.site.write("portcullis.yaml", manifests / "site.yaml", log_off=str(not self.access_log).lower())
        command = [self.site.portcullis, "serve", manifests, "--configmap=bench/settings"]
        command += ["--http-port=0", "--https-port=0", "--admin-address=127.0.0.1:0", "--v=0"]
        command += [f"--endpoint=bench/http1=127.0.0.1:{self.site.backend_port}"]
        command += [f"--endpoint=bench/grpc=127.0.0.1:{self.site.grpc_port}"]
        process = self.start(command)
        line = json.loads(wait_for(self.name, self.first_line, process))
        self.http_port, self.https_port = (int(line[key].rpartition(":")[2]) for key in ("http", "https"))
        self.http2_port = self.http_port
        self.admin = line["admin"]
        return process

    def start(self, command):
        """Starts it with both streams in files: nobody has to read them."""
        out, log = self.output(".out"), self.output(".log")
        environment = {key: value for key, value in os.environ.items() if key != "RUST_LOG"}
        with out.open("w") as stdout, log.open("w") as stderr:
            command = self.prefix + command
            return self.site.children.start(command, self.cpus, stdout=stdout, stderr=stderr, env=environment)

    def output(self, kind):
        return self.site.folder / (self.name + kind)

    def first_line(self):
        line, end, _ = self.output(".out").read_text().partition("\n")
        return line if end else None


def forwarded_fields(proxy, tls):
    """What the backend gets from this proxy, by name; without what differs by nature."""
    port = proxy.https_port if tls else proxy.http_port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.sock = socket.create_connection(("127.0.0.1", port), 10)
    if tls:
        connection.sock = trusting().wrap_socket(connection.sock, server_hostname=HOST)
    connection.request("GET", "/fields", headers={"Host": HOST})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"{proxy.name}: {response.status} for /fields")
    fields = dict(line.partition(" ")[::2] for line in text.splitlines())
    missing = [name for name, value in fields.items() if not value and name != "Connection"]
    if missing:
        raise RuntimeError(f"{proxy.name} does not send {', '.join(missing)}")
    fields["HSTS"] = response.getheader("Strict-Transport-Security") or ""
    fields["X-Request-ID"] = "(any)"
    fields["X-Forwarded-Port"] = "(any)"  # its own, or the 443 by which clients reach a cluster
    # nginx and Portcullis leave it out, HAProxy too: kept alive is the default of HTTP/1.1.
    fields["Connection"] = fields["Connection"].lower().replace("keep-alive", "")
    return fields


def check_alike(proxies):
    """Refuses to compare proxies that do not do the same work."""
    for tls in (False, True):
        seen = {proxy.name: forwarded_fields(proxy, tls) for proxy in proxies}
        first = seen[proxies[0].name]
        for name, fields in seen.items():
            different = [f"{key}: {first[key]!r}, {fields[key]!r}" for key in first if first[key] != fields[key]]
            if different:
                raise RuntimeError(f"{proxies[0].name} and {name} differ in {'; '.join(different)}")


def trusting():
    """A client that takes any certificate: nothing here is about trust."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
