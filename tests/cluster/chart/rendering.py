"""Renders the chart with Helm and looks things up in what comes out. No cluster is asked."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "chart"
HELM = shutil.which(os.environ.get("HELM", "helm")) or sys.exit(
    "Helm is missing: name it in HELM, or put it on the path"
)
# Of what the chart is rendered for when nothing else is said: the oldest it supports is in Chart.yaml.
KUBERNETES = "1.36.0"
# Values that switch every option on.
EVERYTHING = Path(__file__).resolve().parent / "everything.yaml"
# Values files of real installations, by the name of their file.
INSTALLATIONS = {
    file.stem: yaml.safe_load(file.read_text())
    for file in sorted((ROOT / "tests" / "cluster" / "values").glob("*.yaml"))
}
# How flags say the namespace of the release.
OWN_NAMESPACE = "$(POD_NAMESPACE)"


def at(path, value):
    """{"a": {"b": value}} of "a.b"."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def merged(*maps):
    out = {}
    for each in maps:
        for key, value in each.items():
            both = isinstance(value, dict) and isinstance(out.get(key), dict)
            out[key] = merged(out[key], value) if both else value
    return out


class Refused(Exception):
    """Helm did not render; the text is what it said."""


@functools.cache
def helm(*arguments, given=None):
    """What Helm prints; `given` is its standard input."""
    # Neither a kubeconfig nor plugins and repositories of whoever runs this may matter.
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": f"{home}/none"}
        done = subprocess.run(
            [HELM, *arguments], env=environment, input=given, capture_output=True, text=True, timeout=60
        )
    if done.returncode != 0:
        raise Refused(done.stderr)
    return done.stdout


def values_file(values):
    """The text of a values file, from a map or the path of one. JSON, as Helm's YAML takes more words for booleans."""
    return values.read_text() if isinstance(values, Path) else json.dumps(values or {})


def render(values=None, release="portcullis", namespace="portcullis", kubernetes=KUBERNETES):
    """All objects of a release, in Helm's order."""
    place = ["--namespace", namespace, "--kube-version", kubernetes]
    text = helm("template", release, str(CHART), *place, "--include-crds", "--values", "-", given=values_file(values))
    return Objects(document for document in yaml.safe_load_all(text) if document)


def notes(values=None, release="portcullis", namespace="portcullis"):
    """What a user reads after an installation."""
    place = ["--namespace", namespace, "--dry-run=client"]
    text = helm("install", release, str(CHART), *place, "--values", "-", given=values_file(values))
    return text.split("NOTES:\n", 1)[1]


class Objects(list):
    """Rendered objects."""

    def of(self, kind, name=None):
        return [o for o in self if o["kind"] == kind and name in (None, o["metadata"]["name"])]

    def one(self, kind, name=None):
        found = self.of(kind, name)
        if len(found) != 1:
            raise AssertionError(f"{len(found)} of {kind} {name or ''}, in {[self.title(o) for o in self]}")
        return found[0]

    @staticmethod
    def title(o):
        return f"{o['kind']} {o['metadata']['name']}"

    def workload(self):
        """The Deployment or DaemonSet of the controller."""
        mine = [
            o
            for o in self.of("Deployment") + self.of("DaemonSet")
            if o["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == "controller"
        ]
        (workload,) = mine
        return workload

    def pod(self):
        return self.workload()["spec"]["template"]["spec"]

    def container(self):
        return self.pod()["containers"][0]

    def flags(self):
        """Flags of the controller: name to value, None for one without."""
        flags = {}
        for argument in self.container()["args"]:
            name, given, value = argument.removeprefix("--").partition("=")
            assert argument.startswith("--") and name not in flags, argument
            flags[name] = value if given else None
        return flags

    def configuration(self):
        """Data of the controller's ConfigMap."""
        return self.one("ConfigMap", self.workload()["metadata"]["name"])["data"]
