"""What is measured: which requests, over how many connections."""

from dataclasses import dataclass

HOST = "bench.example"
SMALL = 128  # octets of a small response
FILES = {"100k": 100_000, "1m": 1_000_000}
GRPC_MESSAGE = 64  # octets of a message, without its prefix of five
GRPC_PATH = "/bench.Echo/Unary"


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    title: str
    protocol: str  # h1, h2 or grpc (over HTTP/2)
    tls: bool
    path: str
    octets: int  # of each response's content
    connections: int
    streams: int = 1  # requests at once on a connection
    share: float = 1.0  # of REQUESTS; large responses need fewer requests to measure the same
    new_connections: bool = False  # one for each request

    def requests(self, wanted):
        """How many requests a round has: at least a few for every stream."""
        return max(int(wanted * self.share), 4 * self.connections * self.streams)


SCENARIOS = (
    Scenario("http1", "HTTP/1.1", "h1", False, "/small", SMALL, 64),
    Scenario("https1", "HTTP/1.1 over TLS", "h1", True, "/small", SMALL, 64),
    Scenario("https2", "HTTP/2 over TLS", "h2", True, "/small", SMALL, 8, 16),
    Scenario("grpc", "gRPC unary over TLS", "grpc", True, GRPC_PATH, GRPC_MESSAGE + 5, 8, 16),
    Scenario("http1-100k", "HTTP/1.1, 100 KB", "h1", False, "/100k", FILES["100k"], 16, share=0.1),
    Scenario("http1-1m", "HTTP/1.1, 1 MB", "h1", False, "/1m", FILES["1m"], 8, share=0.02),
    Scenario("https2-1m", "HTTP/2 over TLS, 1 MB", "h2", True, "/1m", FILES["1m"], 4, 2, share=0.01),
    Scenario("handshake", "new TLS connection each", "h1", True, "/small", SMALL, 16, share=0.05, new_connections=True),
)
# Played only by name.
MORE = (
    Scenario("grpc-cleartext", "gRPC unary, cleartext", "grpc", False, GRPC_PATH, GRPC_MESSAGE + 5, 8, 16),
    Scenario("http2", "HTTP/2, cleartext", "h2", False, "/small", SMALL, 8, 16),
    Scenario("https1-1m", "HTTP/1.1 over TLS, 1 MB", "h1", True, "/1m", FILES["1m"], 8, share=0.01),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS + MORE}


def chosen(names):
    """The scenarios with these names, the usual ones for none."""
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise SystemExit(f"no scenario {' '.join(unknown)}; there are: {' '.join(BY_NAME)}")
    return [BY_NAME[name] for name in names] or list(SCENARIOS)
