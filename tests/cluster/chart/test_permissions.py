"""What the controller may do: exactly these rules."""

import unittest

from rendering import Refused, at, merged, render


def rules(role):
    """A role as (group, resource, name or None) -> verbs."""
    out = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [None]):
                    out.setdefault((group, resource, name), set()).update(rule["verbs"])
    return out


class Permissions(unittest.TestCase):
    WATCHED = {
        ("networking.k8s.io", "ingresses", None): {"get", "list", "watch"},
        ("networking.k8s.io", "ingresses/status", None): {"update"},
        ("", "services", None): {"list", "watch"},
        ("discovery.k8s.io", "endpointslices", None): {"list", "watch"},
        ("", "configmaps", None): {"list", "watch"},
        ("", "secrets", None): {"list", "watch"},
        ("", "events", None): {"create", "patch"},
        ("portcullis.dev", "ingressclassparameters", None): {"list", "watch"},
    }
    CLUSTER = {
        ("networking.k8s.io", "ingressclasses", None): {"list", "watch"},
        ("portcullis.dev", "clusteringressclassparameters", None): {"list", "watch"},
    }
    OWN_NAMESPACE = {
        ("", "configmaps", None): {"get", "list", "watch"},
        ("", "services", None): {"list", "watch"},
        ("", "pods", None): {"get", "list", "watch"},
        ("", "events", None): {"create", "patch"},
        ("coordination.k8s.io", "leases", None): {"create"},
        ("coordination.k8s.io", "leases", "portcullis-leader"): {"get", "update"},
        ("", "secrets", None): {"create"},
        ("", "secrets", "portcullis-admission"): {"get", "update"},
    }
    WEBHOOK = {
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations", "portcullis-admission"): {"get", "update"},
    }

    def test_the_roles_are_exactly_these(self):
        rendered = render()
        self.assertEqual(rules(rendered.one("ClusterRole", "portcullis")), {**self.CLUSTER, **self.WATCHED})
        self.assertEqual(rules(rendered.one("ClusterRole", "portcullis-admission")), self.WEBHOOK)
        self.assertEqual(rules(rendered.one("Role")), self.OWN_NAMESPACE)

    def test_nodes_and_namespaces_are_read_only_where_they_matter(self):
        def more(values):
            return set(rules(render(values).one("ClusterRole", "portcullis"))) - set(self.CLUSTER) - set(self.WATCHED)

        nodes, namespaces = {("", "nodes", None)}, {("", "namespaces", None)}
        unpublished = at("controller.publishService.enabled", False)
        self.assertEqual(more(unpublished), nodes)
        self.assertEqual(
            more(merged(unpublished, at("controller.extraArgs.publish-status-address", "192.0.2.1"))), set()
        )
        self.assertEqual(more(at("controller.scope.namespaceSelector", "a=b")), namespaces)
        self.assertEqual(more(at("controller.extraArgs.watch-namespace-selector", "a=b")), namespaces)

    def test_without_status_updates_status_cannot_be_written(self):
        for value in ("false", False):
            role = rules(render(at("controller.extraArgs.update-status", value)).one("ClusterRole", "portcullis"))
            self.assertNotIn(("networking.k8s.io", "ingresses/status", None), role)

    def test_one_namespace_needs_no_rights_in_others(self):
        rendered = render(at("controller.scope", {"enabled": True, "namespace": "shop"}))
        self.assertEqual(rules(rendered.one("ClusterRole", "portcullis")), self.CLUSTER)
        scope = rendered.one("Role", "portcullis-scope")
        self.assertEqual((scope["metadata"]["namespace"], rules(scope)), ("shop", self.WATCHED))
        self.assertEqual(rendered.one("RoleBinding", "portcullis-scope")["metadata"]["namespace"], "shop")

    def test_rbac_scope_has_no_cluster_role_but_for_the_webhook(self):
        values = merged(at("controller.scope.enabled", True), at("rbac.scope", True))
        self.assertEqual([o["metadata"]["name"] for o in render(values).of("ClusterRole")], ["portcullis-admission"])
        bare = render(
            merged(
                values,
                at("controller", {"admissionWebhooks": {"enabled": False}, "ingressClassResource": {"enabled": False}}),
            )
        )
        # CRDs are left out by --skip-crds.
        mine = [o for o in bare if o["kind"] != "CustomResourceDefinition"]
        outside = [bare.title(o) for o in mine if "namespace" not in o["metadata"]]
        self.assertEqual(outside, [])
        with self.assertRaisesRegex(Refused, "rbac.scope needs controller.scope.enabled"):
            render(at("rbac.scope", True))

    def test_other_sources_of_the_certificate_need_no_rights_for_it(self):
        for values in (at("certManager.enabled", True), at("patch.enabled", False), at("enabled", False)):
            rendered = render(at("controller.admissionWebhooks", values))
            self.assertEqual(len(rendered.of("ClusterRole")), 1)
            self.assertFalse([key for key in rules(rendered.one("Role")) if key[1] == "secrets"])

    def test_every_role_is_bound_to_the_controller(self):
        for values in ({}, at("controller.scope", {"enabled": True, "namespace": "shop"})):
            rendered = render(values)
            account = {"kind": "ServiceAccount", "name": "portcullis", "namespace": "portcullis"}
            for kind in ("Role", "ClusterRole"):
                for role in rendered.of(kind):
                    binding = rendered.one(f"{kind}Binding", role["metadata"]["name"])
                    self.assertEqual(binding["subjects"], [account])
                    self.assertEqual(binding["roleRef"]["name"], role["metadata"]["name"])

    def test_roles_can_be_left_to_others(self):
        rendered = render(merged(at("rbac.create", False), at("serviceAccount", {"create": False, "name": "mine"})))
        self.assertFalse([o for o in rendered if "Role" in o["kind"] or o["kind"] == "ServiceAccount"])
        self.assertEqual(rendered.pod()["serviceAccountName"], "mine")


if __name__ == "__main__":
    unittest.main()
