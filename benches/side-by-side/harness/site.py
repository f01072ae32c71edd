"""What all proxies serve: the folder with certificate and files, the ports, the two backends."""

import base64
import os
import re
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .processes import wait_for
from .scenarios import FILES, GRPC_MESSAGE, HOST, SMALL

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


@dataclass
class Site:
    """A temporary folder and two running backends."""

    children: object
    folder: Path
    load_cpus: set
    proxy_cpus: set
    portcullis: Path
    backend_port: int = 0
    grpc_port: int = 0

    def write(self, template, name, **values):
        """Fills a template, and returns the path of the file."""
        text = (TEMPLATES / template).read_text()
        user = "user root;" if os.geteuid() == 0 else ""
        known = {"folder": self.folder, "user": user, "backend_port": self.backend_port, "grpc_port": self.grpc_port}
        known |= {"certificate": self.encoded("tls.crt"), "key": self.encoded("tls.key")} | values
        path = self.folder / name
        path.write_text(filled(text, known))
        return path

    def encoded(self, name):
        return base64.b64encode((self.folder / name).read_bytes()).decode()


def filled(text, values):
    """Replaces `${name}`. nginx writes its own variables without braces."""
    return re.sub(r"\$\{(\w+)\}", lambda place: str(values[place.group(1)]), text)


def temporary_folder():
    return tempfile.TemporaryDirectory(prefix="side-by-side-")


def prepare(site, grpc_backend):
    """Makes certificate and files, and starts the backends."""
    make_certificate(site.folder)
    files = site.folder / "files"
    files.mkdir()
    for name, octets in FILES.items():
        (files / name).write_bytes(os.urandom(octets))
    (site.folder / "message").write_bytes(b"\0" + GRPC_MESSAGE.to_bytes(4, "big") + b"m" * GRPC_MESSAGE)
    start_http_backend(site)
    start_grpc_backend(site, grpc_backend)


def make_certificate(folder):
    """P-256, as certificate managers make them; HAProxy wants certificate and key in one file."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "30"]
    command += ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    command += ["-keyout", folder / "tls.key", "-out", folder / "tls.crt"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    (folder / "haproxy.pem").write_text((folder / "tls.crt").read_text() + (folder / "tls.key").read_text())


def start_http_backend(site):
    site.backend_port = free_port()
    conf = site.write("backend.conf", "backend.conf", port=site.backend_port, small="s" * SMALL)
    process = site.children.start(["nginx", "-p", site.folder, "-c", conf], site.load_cpus)
    wait_for("the HTTP backend", lambda: answers(site.backend_port), process)


def start_grpc_backend(site, program):
    output = site.folder / "grpc-backend.out"
    with output.open("w") as stdout, (site.folder / "grpc-backend.log").open("w") as log:
        process = site.children.start([program], site.load_cpus, stdout=stdout, stderr=log)
    line = wait_for("the gRPC backend", output.read_text, process)
    site.grpc_port = int(line.split(":")[-1])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
