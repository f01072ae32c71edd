"""The Pod of the controller: what it may, its probes, volumes and flags."""

import unittest

from rendering import EVERYTHING, INSTALLATIONS, OWN_NAMESPACE, at, merged, render


class Pods(unittest.TestCase):
    def test_the_controller_fits_the_restricted_profile(self):
        for values in ({}, {"controller": {"kind": "DaemonSet"}}, *[i["values"] for i in INSTALLATIONS.values()]):
            rendered = render(values)
            pod, context = rendered.pod(), rendered.container()["securityContext"]
            self.assertIs(context["runAsNonRoot"], True)
            self.assertEqual((context["runAsUser"], context["runAsGroup"]), (101, 82))
            self.assertIs(context["allowPrivilegeEscalation"], False)
            self.assertIs(context["readOnlyRootFilesystem"], True)
            self.assertEqual(context["capabilities"], {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})
            self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertNotIn("hostNetwork", pod)
            self.assertTrue(all(set(volume) - {"name"} <= {"emptyDir", "secret"} for volume in pod["volumes"]))

    def test_the_program_is_started_by_its_name_and_knows_its_pod(self):
        container = render().container()
        self.assertEqual(container["command"], ["/portcullis", "run"])
        self.assertEqual({e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"] for e in container["env"]},
                         {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"})  # fmt: skip

    def test_liveness_and_readiness_are_asked_apart_and_drain_has_time(self):
        rendered = render()
        container = rendered.container()
        self.assertEqual(container["livenessProbe"]["httpGet"]["path"], "/livez")
        self.assertEqual(container["readinessProbe"]["httpGet"]["path"], "/readyz")
        self.assertEqual(container["readinessProbe"]["initialDelaySeconds"], 0)
        self.assertEqual(container["readinessProbe"]["periodSeconds"], 1)
        self.assertEqual(container["lifecycle"]["preStop"]["exec"]["command"], ["/wait-shutdown"])
        # 240 s of worker-shutdown-timeout, 10 s before and some to spare.
        self.assertEqual(rendered.pod()["terminationGracePeriodSeconds"], 300)

    def test_spilled_bodies_have_a_place_unless_the_user_brings_one(self):
        def places(mounts):
            rendered = render({"controller": {"extraVolumeMounts": mounts}})
            return [(m["name"], m["mountPath"]) for m in rendered.container()["volumeMounts"]], rendered.pod().get(
                "volumes"
            )

        self.assertEqual(places([]), ([("temporary", "/tmp")], [{"name": "temporary", "emptyDir": {}}]))
        self.assertEqual(places([{"name": "mine", "mountPath": "/tmp/"}]), ([("mine", "/tmp/")], None))
        self.assertEqual(
            places([{"name": "mine", "mountPath": "/tmpx"}])[0], [("temporary", "/tmp"), ("mine", "/tmpx")]
        )
        sized = render(at("controller.temporaryVolume.emptyDir.sizeLimit", "1Gi")).pod()["volumes"]
        self.assertEqual(sized, [{"name": "temporary", "emptyDir": {"sizeLimit": "1Gi"}}])

    def test_a_daemon_set_has_no_replicas_no_budget_and_no_autoscaler(self):
        rendered = render({"controller": {"kind": "DaemonSet", "replicaCount": 3, "autoscaling": {"enabled": True},
                                          "updateStrategy": {"type": "OnDelete"}}})  # fmt: skip
        self.assertNotIn("replicas", rendered.workload()["spec"])
        self.assertEqual(rendered.workload()["spec"]["updateStrategy"], {"type": "OnDelete"})
        self.assertEqual(rendered.of("PodDisruptionBudget") + rendered.of("HorizontalPodAutoscaler"), [])

    def test_resize_policy_needs_a_cluster_that_knows_it(self):
        values = at("controller.resizePolicy", [{"resourceName": "cpu", "restartPolicy": "NotRequired"}])
        self.assertIn("resizePolicy", render(values, kubernetes="1.33.0").container())
        self.assertNotIn("resizePolicy", render(values, kubernetes="1.32.0").container())

    def test_templates_in_values_are_expanded_also_by_the_names_of_ingress_nginx(self):
        pod = render(EVERYTHING, release="edge").pod()
        (term,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        self.assertEqual(
            term["podAffinityTerm"]["labelSelector"]["matchLabels"], {"app.kubernetes.io/name": "portcullis"}
        )
        (spread,) = pod["topologySpreadConstraints"]
        self.assertEqual(spread["labelSelector"]["matchLabels"], {"app.kubernetes.io/instance": "edge"})
        self.assertEqual(pod["hostAliases"][0]["hostnames"], ["edge.example.test"])
        self.assertEqual(pod["initContainers"][0]["args"], ["portcullis"])


class Flags(unittest.TestCase):
    def test_a_flag_of_the_user_stands_in_for_that_of_the_chart(self):
        for path, flag in (
            ("controller.metrics.enabled", "enable-metrics"),
            ("controller.ingressClassByName", "ingress-class-by-name"),
        ):
            values = merged(at(path, True), at("controller.extraArgs", {flag: "false"}))
            self.assertEqual(render(values).flags()[flag], "false")

    def test_values_of_flags_are_written_as_the_user_wrote_them(self):
        table = [
            ("", None),
            (None, None),
            (False, "false"),
            (True, "true"),
            (3, "3"),
            (31449600, "31449600"),
            (0.5, "0.5"),
            ('a b: "c"', 'a b: "c"'),
        ]
        for value, text in table:
            with self.subTest(value=value):
                self.assertEqual(render(at("controller.extraArgs", {"some-flag": value})).flags()["some-flag"], text)

    def test_what_is_published_follows_the_services(self):
        internal = at("controller.service", {"external": {"enabled": False}, "internal": {"enabled": True}})
        table = [
            ({}, f"{OWN_NAMESPACE}/portcullis-controller"),
            (at("controller.publishService.pathOverride", "edge/lb"), "edge/lb"),
            (at("controller.publishService.enabled", False), None),
            (at("controller.service.enabled", False), None),
            (at("controller.service.external.enabled", False), None),
            (internal, f"{OWN_NAMESPACE}/portcullis-controller-internal"),
            (merged(internal, at("controller.publishService.pathOverride", "edge/lb")), "edge/lb-internal"),
        ]
        for values, service in table:
            with self.subTest(values):
                self.assertEqual(render(values).flags().get("publish-service"), service)

    def test_scope_and_selector_become_the_watch_flags(self):
        flags = render(at("controller.scope", {"enabled": True})).flags()
        self.assertEqual(flags["watch-namespace"], OWN_NAMESPACE)
        flags = render(at("controller.scope", {"enabled": True, "namespace": "shop"})).flags()
        self.assertEqual(flags["watch-namespace"], "shop")
        flags = render(at("controller.scope.namespaceSelector", "edge=yes")).flags()
        self.assertEqual((flags["watch-namespace-selector"], flags.get("watch-namespace")), ("edge=yes", None))

    def test_the_node_address_flag_needs_the_network_of_the_host(self):
        values = at("controller.reportNodeInternalIp", True)
        self.assertNotIn("report-node-internal-ip-address", render(values).flags())
        rendered = render(merged(values, at("controller.hostNetwork", True)))
        self.assertIs(rendered.pod()["hostNetwork"], True)
        self.assertEqual(rendered.flags()["report-node-internal-ip-address"], "true")


if __name__ == "__main__":
    unittest.main()
