"""What holds for every object the chart renders."""

import json
import unittest

from rendering import EVERYTHING, at, merged, render


class Objects(unittest.TestCase):
    """Every object, with everything switched on and with nothing."""

    # Kind: API version, and whether it lives in a namespace.
    KINDS = {
        "Certificate": ("cert-manager.io/v1", True),
        "ClusterRole": ("rbac.authorization.k8s.io/v1", False),
        "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", False),
        "ConfigMap": ("v1", True),
        "CustomResourceDefinition": ("apiextensions.k8s.io/v1", False),
        "DaemonSet": ("apps/v1", True),
        "Deployment": ("apps/v1", True),
        "HorizontalPodAutoscaler": ("autoscaling/v2", True),
        "IngressClass": ("networking.k8s.io/v1", False),
        "Issuer": ("cert-manager.io/v1", True),
        "NetworkPolicy": ("networking.k8s.io/v1", True),
        "PodDisruptionBudget": ("policy/v1", True),
        "PrometheusRule": ("monitoring.coreos.com/v1", True),
        "Role": ("rbac.authorization.k8s.io/v1", True),
        "RoleBinding": ("rbac.authorization.k8s.io/v1", True),
        "ScaledObject": ("keda.sh/v1alpha1", True),
        "Secret": ("v1", True),
        "Service": ("v1", True),
        "ServiceAccount": ("v1", True),
        "ServiceMonitor": ("monitoring.coreos.com/v1", True),
        "ValidatingWebhookConfiguration": ("admissionregistration.k8s.io/v1", False),
    }

    def every_rendering(self):
        keda = {"controller": {"kind": "Deployment", "keda": {"enabled": True, "triggers": [{"type": "cpu"}]}}}
        scoped = merged(at("controller.scope.enabled", True), at("rbac.scope", True))
        for values in ({}, EVERYTHING, keda, scoped, {"controller": {"kind": "DaemonSet"}}):
            yield render(values)

    def test_every_object_is_of_a_known_kind_and_has_a_name_and_its_place(self):
        seen = set()
        for rendered in self.every_rendering():
            for o in rendered:
                with self.subTest(rendered.title(o)):
                    version, namespaced = self.KINDS[o["kind"]]
                    self.assertEqual(o["apiVersion"], version)
                    self.assertEqual("namespace" in o["metadata"], namespaced)
                    self.assertRegex(o["metadata"]["name"], r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")
                seen.add(o["kind"])
        self.assertEqual(set(self.KINDS) - seen - {"CustomResourceDefinition"}, set())

    def test_no_two_objects_have_one_name(self):
        for rendered in self.every_rendering():
            names = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in rendered]
            self.assertEqual(len(names), len(set(names)))

    def test_labels_annotations_and_config_are_text(self):
        for rendered in self.every_rendering():
            for o in rendered:
                texts = [o["metadata"].get("labels", {}), o["metadata"].get("annotations", {})]
                texts += [o["data"]] if o["kind"] == "ConfigMap" else []
                if o["kind"] in ("Deployment", "DaemonSet"):
                    metadata = o["spec"]["template"]["metadata"]
                    texts += [metadata["labels"], metadata.get("annotations", {})]
                for text in texts:
                    for key, value in text.items():
                        self.assertIsInstance(value, str, f"{rendered.title(o)}: {key}")

    def test_numbers_are_not_written_as_floats(self):
        text = "\n".join(json.dumps(o) for rendered in self.every_rendering() for o in rendered)
        self.assertNotRegex(text, r"\de\+\d")

    def test_common_labels_are_on_every_object_and_take_no_selector_away(self):
        rendered = render({"commonLabels": {"team": "edge", "app.kubernetes.io/instance": "other"}})
        # Helm takes CRDs as they are.
        for o in (o for o in rendered if o["kind"] != "CustomResourceDefinition"):
            self.assertEqual(o["metadata"]["labels"]["team"], "edge")
            self.assertEqual(o["metadata"]["labels"]["app.kubernetes.io/instance"], "portcullis")


if __name__ == "__main__":
    unittest.main()
