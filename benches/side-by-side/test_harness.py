"""Tests of what the harness reads and computes; what it starts is tested by running it."""

import math
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from harness import chart, load, profile, report, scenarios, site
from harness.measure import Cell, Round, ratios

SUMMARY = """
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
finished in 62.23ms, 3213.83 req/s, 0B/s
requests: 200 total, 200 started, {done} done, {done} succeeded, {failed} failed, 0 errored, 0 timeout
status codes: {ok} 2xx, 0 3xx, 0 4xx, {bad} 5xx
traffic: 29.69KB (30400) total, 21.09KB (21600) headers (space savings 0.00%), 25.0KB ({octets}) data
"""
SCENARIO = scenarios.BY_NAME["https1"]


def summary(done=200, ok=200, octets=200 * SCENARIO.octets):
    return SUMMARY.format(done=done, failed=200 - done, ok=ok, bad=200 - ok, octets=octets)


def cell(*cpu, rate=100.0):
    return Cell([Round(rate, 1.0, 2.0, each, 3.0, 0.9) for each in cpu])


class Load(unittest.TestCase):
    def test_a_run_counts_if_every_answer_is_2xx_and_whole(self):
        sent = load.judged(SCENARIO, 200, summary(), [10, 20, 30])
        self.assertEqual((sent.failed, sent.problem, sent.seconds, sent.p50), (0, "", 0.06223, 20.0))
        self.assertEqual(sent.cipher, "TLSv1.3 TLS_AES_128_GCM_SHA256")

    def test_what_is_missing_is_counted(self):
        for text, failed in [
            (summary(done=199, ok=199), 1),
            (summary(ok=150), 50),
            (summary(octets=199 * SCENARIO.octets), 1),
            (summary(octets=0), 200),
            ("nothing of that kind", 200),
        ]:
            sent = load.judged(SCENARIO, 200, text, [])
            self.assertEqual(sent.failed, failed, text)
            self.assertTrue(sent.problem, text)

    def test_durations_are_those_of_2xx(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "load.tsv"
            log.write_text("1\t200\t30\n2\t200\t10\n3\t503\t1\n4\t-1\t2\n5\t204\t20\n")
            self.assertEqual(list(load.read_durations(log)), [10, 20, 30])

    def test_a_percentile_is_one_of_the_durations(self):
        self.assertEqual(load.percentile([1, 2, 3, 4], 0.5), 2)
        self.assertEqual(load.percentile(list(range(1, 101)), 0.99), 99)
        self.assertEqual(load.percentile([7], 0.99), 7)
        self.assertTrue(math.isnan(load.percentile([], 0.5)))


class Ratios(unittest.TestCase):
    def test_rounds_are_compared_in_pairs(self):
        cells = {"portcullis": cell(10, 20, 30), "nginx": cell(20, 20, 20), "haproxy": cell(10, 10, 40)}
        found = ratios(cells, "cpu_us")
        self.assertEqual(found["better"], "haproxy")
        self.assertEqual(found["to_better"], {"median": 1.0, "min": 0.75, "max": 2.0})
        self.assertEqual(found["to_nginx"]["median"], 1.0)

    def test_more_requests_are_better(self):
        cells = {"portcullis": cell(1, rate=90), "nginx": cell(1, rate=100), "haproxy": cell(1, rate=50)}
        self.assertEqual(ratios(cells, "requests_per_second")["better"], "nginx")

    def test_a_cell_that_failed_has_no_part(self):
        broken = Cell([], "10 of 10 failed", 10)
        self.assertEqual(ratios({"portcullis": broken, "nginx": cell(1), "haproxy": cell(1)}, "cpu_us"), {})
        found = ratios({"portcullis": cell(2), "nginx": broken, "haproxy": cell(1)}, "cpu_us")
        self.assertEqual((found["better"], "to_nginx" in found), ("haproxy", False))
        late = cell(1)
        late.problem = "1 of 10 failed"
        self.assertFalse(late.valid)


class Output(unittest.TestCase):
    cells = {"portcullis": cell(10, 12), "nginx": cell(20, 22), "haproxy": Cell([], "1 of 5 failed", 1)}

    def test_the_table_names_ratio_spread_and_failure(self):
        text = report.tables({"http1": self.cells}, [("More", ["line"])])
        self.assertIn("0.52 (0.50..0.55)", text)
        self.assertIn("10.0..12.0 µs", text)
        self.assertIn("failed: 1 of 5 failed", text)
        self.assertIn("## More\n\nline", text)

    def test_a_busy_machine_is_named(self):
        machine = {"virtual": True, "cpus": 2, "cpu": "x", "load_before": 0.1}
        about = (dict.fromkeys(report.TITLES, "1"), {"rounds": 7, "requests": 300_000})
        self.assertNotIn("ROUGH", report.caption(machine, *about))
        self.assertIn("ROUGH", report.caption(machine | {"load_before": 3.0}, *about))

    def test_the_chart_is_xml_with_a_bar_for_each_figure(self):
        root = ElementTree.fromstring(chart.draw({"http1": self.cells}, "a < b & c"))
        texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("a < b & c", texts)
        self.assertEqual(texts.count("HAProxy: no result"), 2)
        bars = [each for each in root.iter("{http://www.w3.org/2000/svg}rect") if each.get("height") == "12"]
        # Three in the legend, two proxies in two panels.
        self.assertEqual(len(bars), 3 + 4)

    def test_templates_keep_the_variables_of_nginx(self):
        self.assertEqual(site.filled("$host ${port} $http_host", {"port": 1}), "$host 1 $http_host")

    def test_system_calls_are_told_per_request(self):
        text = (
            "% time     seconds  usecs/call     calls    errors syscall\n"
            "------ ----------- ----------- --------- --------- ----------------\n"
            " 61.60    0.135014          13     10000           writev\n"
            " 38.40    0.084163           8     10000      5000 recvfrom\n"
            "------ ----------- ----------- --------- --------- ----------------\n"
            "100.00    0.219177          10     20000      5000 total\n"
        )
        self.assertEqual(profile.per_request(text, 5000), "   2.000  writev\n   2.000  recvfrom (1.000 in vain)")


if __name__ == "__main__":
    unittest.main()
