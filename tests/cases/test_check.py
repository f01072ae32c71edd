"""Tests of `check`: the comparison by itself, and the whole script over a runner that only hands out results."""

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

CHECK = Path(__file__).resolve().parent / "check"
loader = importlib.machinery.SourceFileLoader("check", str(CHECK))
check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
sys.modules["check"] = check  # dataclasses look their module up
loader.exec_module(check)


def result(case, verdict, reason=""):
    mismatches = ["status: expected 200, got 503"] if verdict == "failed" else []
    return {"id": case, "area": case.split("-")[0], "verdict": verdict, "mismatches": mismatches, "reason": reason}


def results(**verdicts):
    return {name.replace("_", "-"): result(name.replace("_", "-"), verdict) for name, verdict in verdicts.items()}


class Comparison(unittest.TestCase):
    def test_each_verdict_counts_by_whether_the_case_is_listed(self):
        played = results(a_1="passed", a_2="failed", a_3="failed", a_4="passed", a_5="skipped")
        outcome = check.compared(played, {"a-2": "later: a", "a-4": "later: a"}, complete=True)
        self.assertEqual(outcome.passed, ["a-1"])
        self.assertEqual(outcome.expected, ["a-2"])
        self.assertEqual(outcome.skipped, ["a-5"])
        self.assertEqual(list(outcome.problems), ["a-3", "a-4"])
        self.assertIn("expected 200, got 503", outcome.problems["a-3"])
        self.assertIn("take it off the list", outcome.problems["a-4"])
        self.assertEqual(outcome.totals(), "1 passed, 2 failed, 1 skipped")

    def test_a_listed_case_that_does_not_exist_is_a_problem_of_a_complete_run_only(self):
        played, listed = results(a_1="passed"), {"gone-1": "later: a"}
        self.assertEqual(list(check.compared(played, listed, complete=True).problems), ["gone-1"])
        self.assertEqual(check.compared(played, listed, complete=False).problems, {})

    def test_a_listed_case_that_cannot_be_played_is_a_problem(self):
        outcome = check.compared(results(a_1="skipped"), {"a-1": "later: a"}, complete=True)
        self.assertIn("cannot be played", outcome.problems["a-1"])

    def test_surprises_are_listed_passes_and_unlisted_failures(self):
        played = results(a_1="passed", a_2="failed", a_3="failed", a_4="passed", a_5="skipped")
        self.assertEqual(check.surprises(played, {"a-2": "", "a-4": "", "a-5": ""}), ["a-3", "a-4"])


class Lists(unittest.TestCase):
    def test_entries_are_read_and_comments_passed_over(self):
        text = "# head\n\na-1  later: auth\nb-2 differs: edge-hardening.md, section 2\n"
        self.assertEqual(
            check.read_list(text, "l"), {"a-1": "later: auth", "b-2": "differs: edge-hardening.md, section 2"}
        )

    def test_bad_lines_are_refused_with_their_number(self):
        bad = ["a-1", "a-1  someday", "a-1  later:", "a-1  ?", "a-1  later: x\na-1  later: y", "a-*  because"]
        for text in bad:
            with self.subTest(text=text), self.assertRaisesRegex(check.BrokenRun, r"^l:[12]: a-"):
                check.read_list(text, "l")

    def test_a_rewritten_list_keeps_head_and_reasons_and_asks_for_new_ones(self):
        played = results(b_1="failed", a_2="failed", a_1="passed", b_0="failed")
        old = "# head\n# more\n\n# a\na-1  later: x\na-2  later: y\n"
        new = check.written(old, played, {"a-1": "later: x", "a-2": "later: y"})
        self.assertEqual(new, "# head\n# more\n\n# a\na-2  later: y\n\n# b\nb-0  ?\nb-1  ?\n")
        self.assertEqual(check.read_list(new, "l", unexplained=True)["b-0"], "?")


class WholeScript(unittest.TestCase):
    """The fake runner takes results.json beside it, or alone.json when it is called with one job."""

    RUNNER = """
        import shutil, sys
        from pathlib import Path
        here, args = Path(__file__).parent, sys.argv[1:]
        alone = args[args.index("--jobs") + 1] == "1"
        (here / "calls").open("a").write(" ".join(args[: args.index("--jobs")]) + "\\n")
        source = here / ("alone.json" if alone else "results.json")
        if source.exists():
            shutil.copy(source, args[args.index("--json") + 1])
        print("FAIL a-2: something", "FAIL a-3: something else", "1 passed, 2 failed, 0 skipped", sep="\\n")
        sys.exit(1)
    """

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "run").write_text(textwrap.dedent(self.RUNNER))

    def check(self, played, alone=None, listed="a-2  later: a\n", more=()):
        for name, content in {"results.json": played, "alone.json": alone}.items():
            if content is not None:
                (self.folder / name).write_text(json.dumps(list(content.values())))
        (self.folder / "list").write_text(listed)
        options = ["--runner", self.folder / "run", "--list", self.folder / "list", *more]
        return subprocess.run([sys.executable, CHECK, "BINARY", *options], capture_output=True, text=True)

    def test_all_as_expected_succeeds_without_a_second_run(self):
        done = self.check(results(a_1="passed", a_2="failed"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[-2:], ["1 failed as listed in list", "1 passed, 0 failed, 0 skipped"])
        self.assertEqual((self.folder / "calls").read_text(), "BINARY\n")
        self.assertNotIn("FAIL a-2", done.stdout)

    def test_a_failure_that_passes_alone_does_not_count(self):
        done = self.check(results(a_1="failed", a_2="failed"), results(a_1="passed"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.folder / "calls").read_text(), "BINARY\nBINARY a-1\n")
        self.assertEqual(done.stdout.splitlines()[-1], "1 passed, 0 failed, 0 skipped")

    def test_a_failure_that_stays_and_a_listed_pass_that_stays_fail_the_run(self):
        played = results(a_1="failed", a_2="passed", a_3="passed")
        done = self.check(played, results(a_1="failed", a_2="passed"))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout.splitlines()[-1], "1 passed, 2 failed, 0 skipped")
        self.assertIn("UNEXPECTED a-1: status: expected 200, got 503", done.stdout)

    def test_a_runner_without_results_and_a_bad_list_are_broken_runs(self):
        self.assertEqual(self.check(None).returncode, 2)
        self.assertEqual(self.check({}).returncode, 2)
        self.assertEqual(self.check(results(a_1="passed"), listed="a-2\n").returncode, 2)

    def test_write_replaces_the_list(self):
        self.check(results(a_1="failed", a_2="passed"), results(a_1="failed", a_2="passed"), more=["--write"])
        self.assertEqual((self.folder / "list").read_text(), "\n# a\na-1  ?\n")


if __name__ == "__main__":
    unittest.main()
