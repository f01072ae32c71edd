"""Asks a real API server whether it would take what the chart renders, and the manifests: a dry run with strict fields.

Runs inside a cluster (`kubectl` on the path, KUBECONFIG set), apart from the other tests here: its name is not test_*.
"""

import json
import subprocess
import unittest

import yaml

from rendering import EVERYTHING, INSTALLATIONS, ROOT, at, merged, render

# What the API server does not know without the programs that bring these kinds along.
FOREIGN = ("cert-manager.io/", "monitoring.coreos.com/", "keda.sh/")


def kubectl(*arguments, given=None):
    return subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True, timeout=60)


class Accepted(unittest.TestCase):
    def objects_are_taken(self, objects):
        own = [o for o in objects if not o["apiVersion"].startswith(FOREIGN)]
        self.assertTrue(own)
        for namespace in {o["metadata"]["namespace"] for o in own if "namespace" in o["metadata"]}:
            kubectl("create", "namespace", namespace)
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": own})
        done = kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", given=text)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), len(own), done.stdout)

    def test_each_installation_is_taken(self):
        for name, installation in INSTALLATIONS.items():
            with self.subTest(name):
                release, namespace = f"{installation['release']}-{name}", f"of-{name}"
                self.objects_are_taken(render(installation["values"], release, namespace))

    def test_each_option_is_taken(self):
        internal = {"enabled": True, "annotations": {"a": "b"}}
        options = {
            "defaults": {},
            "everything": EVERYTHING,
            "daemon-set": {"controller": {"kind": "DaemonSet", "hostPort": {"enabled": True}}},
            "scoped": merged(at("controller.scope", {"enabled": True, "namespace": "of-shop"}), at("rbac.scope", True)),
            "secret": at("controller.admissionWebhooks", {"patch": {"enabled": False}, "existingSecret": "mine"}),
            "internal": at("controller.service", {"external": {"enabled": False}, "internal": internal}),
        }
        for name, values in options.items():
            with self.subTest(name):
                self.objects_are_taken(render(values, release=name, namespace=f"of-{name}"))

    def test_each_manifest_is_taken_as_a_whole(self):
        for file in sorted((ROOT / "deploy" / "manifests").glob("*.yaml")):
            with self.subTest(file.name):
                self.objects_are_taken([o for o in yaml.safe_load_all(file.read_text()) if o["kind"] != "Namespace"])

    def test_an_unknown_field_would_be_noticed(self):
        objects = render()
        objects.workload()["spec"]["template"]["spec"]["replicaCount"] = 1
        with self.assertRaisesRegex(AssertionError, "unknown field"):
            self.objects_are_taken(objects)


if __name__ == "__main__":
    unittest.main()
