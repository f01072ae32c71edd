"""Objects that are made on request: services, scaling, monitoring, classes."""

import unittest

from rendering import OWN_NAMESPACE, at, render


class Options(unittest.TestCase):
    def test_a_budget_is_made_for_two_and_more(self):
        table = [
            ({"replicaCount": 1}, None),
            ({"replicaCount": 2}, ("minAvailable", 1)),
            ({"replicaCount": 2, "minAvailable": "50%"}, ("minAvailable", "50%")),
            ({"replicaCount": 2, "maxUnavailable": 1}, ("maxUnavailable", 1)),
            ({"replicaCount": 1, "autoscaling": {"enabled": True, "minReplicas": 2}}, ("minAvailable", 1)),
            ({"replicaCount": 2, "autoscaling": {"enabled": True, "minReplicas": 1}}, None),
            ({"keda": {"enabled": True, "minReplicas": 2}}, ("minAvailable", 1)),
        ]
        for controller, budget in table:
            with self.subTest(controller):
                specs = [o["spec"] for o in render({"controller": controller}).of("PodDisruptionBudget")]
                found = [(k, v) for spec in specs for k, v in spec.items() if k != "selector"]
                self.assertEqual(found, [budget] if budget else [])

    def test_an_autoscaler_owns_the_number_of_replicas(self):
        for key, kind in (("autoscaling", "HorizontalPodAutoscaler"), ("keda", "ScaledObject")):
            rendered = render({"controller": {key: {"enabled": True}}})
            self.assertNotIn("replicas", rendered.workload()["spec"])
            self.assertEqual(rendered.one(kind)["spec"]["scaleTargetRef"]["name"], "portcullis-controller")

    def test_monitoring_needs_metrics(self):
        wanted = {
            "serviceMonitor": {"enabled": True},
            "prometheusRule": {"enabled": True, "rules": [{"alert": "A", "expr": "1"}]},
        }
        kinds = {"ServiceMonitor", "PrometheusRule"}
        self.assertFalse(kinds & {o["kind"] for o in render(at("controller.metrics", wanted))})
        rendered = render(at("controller.metrics", {"enabled": True, **wanted}))
        self.assertLessEqual(kinds, {o["kind"] for o in rendered})
        (endpoint,) = rendered.one("ServiceMonitor")["spec"]["endpoints"]
        self.assertEqual(
            endpoint["port"], rendered.one("Service", "portcullis-controller-metrics")["spec"]["ports"][0]["name"]
        )

    def test_the_network_policy_lets_in_what_is_listened_on(self):
        values = {
            "controller": {"networkPolicy": {"enabled": True}, "metrics": {"enabled": True}},
            "udp": {"53": "a/b:53"},
        }
        (rule,) = render(values).one("NetworkPolicy")["spec"]["ingress"]
        ports = [(port["port"], port["protocol"]) for port in rule["ports"]]
        self.assertEqual(ports, [(80, "TCP"), (443, "TCP"), (10254, "TCP"), (8443, "TCP"), (53, "UDP")])

    def test_the_default_class_is_one_and_aliases_share_its_controller(self):
        classes = render(at("controller.ingressClassResource", {"default": True, "aliases": ["edge"]})).of(
            "IngressClass"
        )
        default = "ingressclass.kubernetes.io/is-default-class"
        found = {o["metadata"]["name"]: o["metadata"].get("annotations", {}).get(default) for o in classes}
        self.assertEqual(found, {"nginx": "true", "edge": None})
        self.assertEqual({o["spec"]["controller"] for o in classes}, {"k8s.io/ingress-nginx"})

    def test_the_internal_service_needs_annotations_and_inherits_ports(self):
        self.assertEqual(len(render(at("controller.service.internal.enabled", True)).of("Service")), 2)
        internal = {"enabled": True, "annotations": {"a": "b"}}
        rendered = render(at("controller.service", {"ports": {"http": 8080}, "type": "NodePort", "internal": internal}))
        spec = rendered.one("Service", "portcullis-controller-internal")["spec"]
        self.assertEqual((spec["type"], [p["port"] for p in spec["ports"]]), ("NodePort", [8080, 443]))

    def test_tcp_and_udp_services_open_service_and_container_ports(self):
        values = {"tcp": {"22": "git/ssh:22::PROXY"}, "udp": {"53": "kube-system/kube-dns:53"}, "portNamePrefix": "x"}
        rendered = render(values)
        wanted = [("x-22-tcp", 22, "TCP"), ("x-53-udp", 53, "UDP")]
        service = rendered.one("Service", "portcullis-controller")["spec"]["ports"][2:]
        self.assertEqual([(p["name"], p["port"], p["protocol"]) for p in service], wanted)
        self.assertEqual(
            [(p["name"], p["containerPort"], p["protocol"]) for p in rendered.container()["ports"][-2:]], wanted
        )
        self.assertEqual(rendered.flags()["tcp-services-configmap"], f"{OWN_NAMESPACE}/portcullis-tcp")
        self.assertEqual(rendered.one("ConfigMap", "portcullis-udp")["data"], {"53": "kube-system/kube-dns:53"})

    def test_traffic_distribution_needs_a_cluster_that_knows_it(self):
        values = at("controller.service.trafficDistribution", "PreferClose")
        for kubernetes, there in (("1.31.0", True), ("1.30.0", False)):
            spec = render(values, kubernetes=kubernetes).one("Service", "portcullis-controller")["spec"]
            self.assertEqual("trafficDistribution" in spec, there)


if __name__ == "__main__":
    unittest.main()
