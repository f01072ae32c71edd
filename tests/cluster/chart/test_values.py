"""The schema of the values, the defaults, and what the notes say about keys."""

import json
import unittest

import yaml

from rendering import CHART, EVERYTHING, ROOT, Refused, at, helm, notes, render


class Values(unittest.TestCase):
    """The schema, the defaults and the list of known keys."""

    def test_a_value_of_a_wrong_type_is_refused_at_its_place(self):
        table = [
            ("controller.replicaCount", "two"),
            ("controller.replicaCount", -1),
            ("controller.kind", "StatefulSet"),
            ("controller.config", {"server-tokens": ["a"]}),
            ("controller.extraArgs", {"v": {"a": "b"}}),
            ("controller.hostNetwork", "true"),
            ("controller.ingressClassResource.default", "false"),
            ("controller.service.type", "Loadbalancer"),
            ("controller.service.externalTrafficPolicy", "local"),
            ("controller.service.nodePorts.http", "http"),
            ("controller.service.nodePorts.https", 70000),
            ("controller.service.loadBalancerSourceRanges", "10.0.0.0/8"),
            ("controller.service.ports.http", "80"),
            ("controller.tolerations", "all"),
            ("controller.topologySpreadConstraints", "zone"),
            ("controller.labels", {"a": 1}),
            ("controller.minAvailable", "most"),
            ("controller.autoscaling.targetCPUUtilizationPercentage", "50%"),
            ("controller.admissionWebhooks.failurePolicy", "Warn"),
            ("controller.admissionWebhooks.timeoutSeconds", 60),
            ("controller.image.pullPolicy", "Sometimes"),
            ("defaultBackend.port", "http"),
            ("rbac.create", "yes please"),
            ("imagePullSecrets", ["name"]),
            ("udp", {"53": 53}),
            ("tcp", {"ssh": "a/b:22"}),
        ]
        for path, value in table:
            pointer = "/" + path.replace(".", "/")
            with self.subTest(path, value=value), self.assertRaisesRegex(Refused, f"at '{pointer}"):
                render(at(path, value))

    def test_what_people_write_for_nothing_is_taken(self):
        table = [
            ("controller.podAnnotations", None),
            ("controller.resources", None),
            ("controller.topologySpreadConstraints", {}),
            ("controller.hostname", {}),
            ("controller.autoscaling.targetCPUUtilizationPercentage", ""),
            ("controller.service.nodePorts.http", "30080"),
            ("controller.minAvailable", "25%"),
            ("controller.image.tag", 1),
            ("defaultBackend.image.digest", None),
            ("some-key-nobody-knows", [1]),
        ]
        for path, value in table:
            with self.subTest(path):
                render(at(path, value))

    def test_what_excludes_each_other_is_refused_with_a_reason(self):
        table = [
            ({"controller": {"autoscaling": {"enabled": True}, "keda": {"enabled": True}}}, "exclude each other: KEDA"),
            ({"controller": {"scope": {"enabled": True, "namespaceSelector": "a=b"}}}, "one namespace or a selector"),
            (
                at(
                    "controller.admissionWebhooks",
                    {"patch": {"enabled": False}, "certificate": "/a/cert", "key": "/b/key"},
                ),
                "in one folder",
            ),
        ]
        for values, reason in table:
            with self.assertRaisesRegex(Refused, reason):
                render(values)

    def test_every_default_has_a_schema_and_every_known_key_a_template(self):
        defaults = yaml.safe_load((CHART / "values.yaml").read_text())
        schema = json.loads((CHART / "values.schema.json").read_text())
        templates = "\n".join(file.read_text() for file in (CHART / "templates").iterdir())

        def walk(values, part, path):
            for key, value in values.items():
                self.assertIn(key, part["properties"], path)
                if isinstance(value, dict) and "properties" in part["properties"][key]:
                    walk(value, part["properties"][key], f"{path}.{key}")

        def used(part, path):
            for key, below in part.get("properties", {}).items():
                if not below.get("description", "").startswith("No effect"):
                    self.assertRegex(templates, rf"\b{key}\b", f"{path}.{key}")
                    used(below, f"{path}.{key}")

        walk(defaults, schema, "")
        used(schema, "")

    def test_keys_without_effect_are_named_with_the_reason_and_others_are_not(self):
        controller = {"enableMimalloc": True, "maxmindLicenseKey": "k", "customTemplate": {"configMapName": "t"},
                      "extraModules": [], "image": {"chroot": False}, "replicas": 2,
                      "admissionWebhooks": {"patch": {"enabled": True, "image": {"tag": "1"}}}}  # fmt: skip
        text = notes({"controller": controller})
        self.assertIn("controller.enableMimalloc: no effect: the allocator is part of the program", text)
        self.assertIn("controller.maxmindLicenseKey: no effect", text)
        self.assertIn("controller.customTemplate: no effect", text)
        self.assertIn("controller.replicas: not known", text)
        self.assertIn("controller.admissionWebhooks.patch.image: no effect", text)
        for quiet in ("extraModules", "chroot", "patch.enabled"):
            self.assertNotIn(quiet, text)

    def test_the_notes_of_the_defaults_name_no_key(self):
        text = notes()
        self.assertNotIn("do nothing here", text)
        self.assertIn("kubectl create ingress shop --class=nginx", text)

    def test_helm_has_nothing_to_say_against_the_chart(self):
        for file in (
            CHART / "values.yaml",
            EVERYTHING,
            *sorted((ROOT / "deploy" / "manifests" / "values").glob("*.yaml")),
        ):
            self.assertIn("0 chart(s) failed", helm("lint", "--strict", str(CHART), "--values", str(file)))


if __name__ == "__main__":
    unittest.main()
