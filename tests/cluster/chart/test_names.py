"""Names, labels and images."""

import tomllib
import unittest

import yaml

from rendering import CHART, EVERYTHING, INSTALLATIONS, OWN_NAMESPACE, ROOT, Refused, at, merged, render


class Names(unittest.TestCase):
    def test_names_and_selectors_are_those_of_ingress_nginx_where_the_name_is(self):
        rendered = render({"nameOverride": "ingress-nginx"}, "ingress-nginx", "ingress-nginx")
        workload = rendered.one("Deployment", "ingress-nginx-controller")
        selector = {
            "app.kubernetes.io/name": "ingress-nginx",
            "app.kubernetes.io/instance": "ingress-nginx",
            "app.kubernetes.io/component": "controller",
        }
        self.assertEqual(workload["spec"]["selector"]["matchLabels"], selector)
        rendered.one("Service", "ingress-nginx-controller")
        rendered.one("Service", "ingress-nginx-controller-admission")
        rendered.one("ConfigMap", "ingress-nginx-controller")
        rendered.one("ServiceAccount", "ingress-nginx")
        rendered.one("ValidatingWebhookConfiguration", "ingress-nginx-admission")
        self.assertEqual(rendered.flags()["election-id"], "ingress-nginx-leader")

    def test_every_selector_fits_the_pods_it_is_for(self):
        for values in ({}, EVERYTHING):
            rendered = render(values)
            pods = [o["spec"]["template"]["metadata"]["labels"] for o in rendered.of("Deployment")]
            for service in rendered.of("Service"):
                selected = [labels for labels in pods if service["spec"]["selector"].items() <= labels.items()]
                self.assertEqual(len(selected), 1, service["metadata"]["name"])

    def test_every_port_of_a_service_is_one_of_the_pod(self):
        for values in ({}, *[i["values"] for i in INSTALLATIONS.values()]):
            rendered = render(values)
            pods = [o["spec"]["template"] for o in rendered.of("Deployment") + rendered.of("DaemonSet")]
            for service in rendered.of("Service"):
                for port in service["spec"]["ports"]:
                    (pod,) = [p for p in pods if service["spec"]["selector"].items() <= p["metadata"]["labels"].items()]
                    names = {each["name"] for each in pod["spec"]["containers"][0]["ports"]}
                    self.assertIn(port["targetPort"], names)

    def test_names_of_services_fit_however_long_the_release_is(self):
        values = {
            "metrics": {"enabled": True},
            "service": {"external": {"enabled": False}, "internal": {"enabled": True, "annotations": {"a": "b"}}},
        }
        for length in (20, 36, 40, 44, 45, 46, 53):
            rendered = render({"controller": values}, release="r" * length)
            names = {o["metadata"]["name"] for o in rendered.of("Service")}
            self.assertEqual(len(names), 3)
            self.assertLessEqual(max(map(len, names)), 63)
            (webhook,) = rendered.one("ValidatingWebhookConfiguration")["webhooks"]
            self.assertIn(webhook["clientConfig"]["service"]["name"], names)
            self.assertIn(rendered.flags()["publish-service"].removeprefix(f"{OWN_NAMESPACE}/"), names)

    def test_a_release_name_with_the_name_of_the_chart_is_not_doubled(self):
        names = {
            "portcullis": "portcullis-controller",
            "my-portcullis": "my-portcullis-controller",
            "a": "a-portcullis-controller",
        }
        for release, name in names.items():
            render(release=release).one("Deployment", name)


class Images(unittest.TestCase):
    def test_the_image_is_the_version_of_the_workspace(self):
        workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual((chart["version"], chart["appVersion"]), (workspace, workspace))
        self.assertEqual(render().container()["image"], f"portcullis/portcullis:{workspace}")

    def test_registry_repository_tag_and_digest_make_the_reference(self):
        table = [
            ({"controller": {"image": {"tag": "1"}}}, "portcullis/portcullis:1"),
            ({"controller": {"image": {"tag": 2, "registry": "r.test"}}}, "r.test/portcullis/portcullis:2"),
            (
                {"controller": {"image": {"tag": "1"}}, "global": {"image": {"registry": "g.test"}}},
                "g.test/portcullis/portcullis:1",
            ),
            (
                {
                    "controller": {"image": {"tag": "1", "registry": "r.test"}},
                    "global": {"image": {"registry": "g.test"}},
                },
                "r.test/portcullis/portcullis:1",
            ),
            (
                {"controller": {"image": {"tag": "1", "repository": "r.test/own/name", "registry": "x.test"}}},
                "r.test/own/name:1",
            ),
            ({"controller": {"image": {"tag": "1", "digest": "sha256:00"}}}, "portcullis/portcullis:1@sha256:00"),
        ]
        for values, image in table:
            with self.subTest(image):
                self.assertEqual(render(values).container()["image"], image)

    def test_the_default_backend_has_its_own_registry(self):
        def image(values):
            rendered = render(merged({"defaultBackend": {"enabled": True}}, values))
            return rendered.one("Deployment", "portcullis-defaultbackend")["spec"]["template"]["spec"]["containers"][0][
                "image"
            ]

        self.assertEqual(image({}), "registry.k8s.io/defaultbackend-amd64:1.5")
        self.assertEqual(image(at("global.image.registry", "g.test")), "g.test/defaultbackend-amd64:1.5")

    def test_images_of_ingress_nginx_are_refused(self):
        table = [
            at("controller.image", {"image": "ingress-nginx/controller"}),
            at("controller.image", {"registry": "registry.k8s.io"}),
            at("global.image.registry", "registry.k8s.io"),
            at("controller.image", {"repository": "quay.io/kubernetes-ingress-controller/nginx-ingress-controller"}),
        ]
        for values in table:
            with self.subTest(values), self.assertRaisesRegex(Refused, "no image of Portcullis"):
                render(values)


if __name__ == "__main__":
    unittest.main()
