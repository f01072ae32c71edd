"""The manifests for kubectl, which are made from the chart."""

import subprocess
import sys
import unittest
from pathlib import Path

import yaml

from rendering import OWN_NAMESPACE, ROOT

HERE = Path(__file__).resolve().parent


class Manifests(unittest.TestCase):
    def manifest(self, name):
        return [o for o in yaml.safe_load_all((ROOT / "deploy" / "manifests" / name).read_text()) if o]

    def test_the_files_are_what_the_chart_renders(self):
        done = subprocess.run(
            [sys.executable, str(HERE / "generate"), "--check"], capture_output=True, text=True, timeout=60
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_manifest_starts_with_its_namespace_and_knows_nothing_of_helm(self):
        for name, profile in (
            ("baremetal.yaml", "restricted"),
            ("cloud.yaml", "restricted"),
            ("kind.yaml", "privileged"),
        ):
            objects = self.manifest(name)
            self.assertEqual((objects[0]["kind"], objects[0]["metadata"]["name"]), ("Namespace", "portcullis"))
            self.assertEqual(objects[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], profile)
            self.assertNotRegex(yaml.safe_dump(objects), r"(?i)helm")
            self.assertLessEqual({o["metadata"].get("namespace", "portcullis") for o in objects}, {"portcullis"})

    def test_each_says_what_is_of_its_kind_of_cluster(self):
        found = {}
        for name in ("baremetal", "cloud", "kind"):
            objects = self.manifest(f"{name}.yaml")
            (service,) = [
                o for o in objects if o["kind"] == "Service" and o["metadata"]["name"] == "portcullis-controller"
            ]
            (deployment,) = [o for o in objects if o["kind"] == "Deployment"]
            container = deployment["spec"]["template"]["spec"]["containers"][0]
            published = [a for a in container["args"] if a.startswith("--publish")]
            ports = [p.get("hostPort") for p in container["ports"][:2]]
            found[name] = (service["spec"]["type"], service["spec"].get("externalTrafficPolicy"), published, ports)
        published_service = f"--publish-service={OWN_NAMESPACE}/portcullis-controller"
        self.assertEqual(found, {
            "baremetal": ("NodePort", None, [], [None, None]),
            "cloud": ("LoadBalancer", "Local", [published_service], [None, None]),
            "kind": ("NodePort", None, ["--publish-status-address=localhost"], [80, 443]),
        })  # fmt: skip


if __name__ == "__main__":
    unittest.main()
