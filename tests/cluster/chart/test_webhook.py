"""The validating webhook, by each source of its certificate."""

import unittest

from rendering import OWN_NAMESPACE, at, merged, render


class Webhook(unittest.TestCase):
    def test_the_controller_makes_its_certificate_by_itself(self):
        rendered = render()
        flags = rendered.flags()
        self.assertEqual(flags["validating-webhook-secret"], f"{OWN_NAMESPACE}/portcullis-admission")
        self.assertEqual(flags["validating-webhook-configuration"], "portcullis-admission")
        self.assertNotIn("validating-webhook-certificate", flags)
        self.assertEqual([v["name"] for v in rendered.pod()["volumes"]], ["temporary"])
        self.assertEqual(rendered.of("Job"), [])

    def test_cert_manager_makes_it_on_request(self):
        rendered = render(at("controller.admissionWebhooks.certManager.enabled", True))
        self.certificate_is_mounted(rendered, {
            "secretName": "portcullis-admission",
            "items": [{"key": "tls.crt", "path": "cert"}, {"key": "tls.key", "path": "key"}],
        })  # fmt: skip
        service = "portcullis-controller-admission"
        certificate = rendered.one("Certificate", "portcullis-admission")["spec"]
        self.assertEqual(certificate["dnsNames"], [service, f"{service}.portcullis", f"{service}.portcullis.svc"])
        self.assertEqual(certificate["issuerRef"], {"name": "portcullis-root-issuer"})
        self.assertEqual(len(rendered.of("Issuer")), 2)
        annotations = rendered.one("ValidatingWebhookConfiguration")["metadata"]["annotations"]
        self.assertEqual(annotations["cert-manager.io/inject-ca-from"], "portcullis/portcullis-admission")

        issuer = {"name": "edge", "kind": "ClusterIssuer"}
        own = render(at("controller.admissionWebhooks.certManager", {"enabled": True, "issuerRef": issuer}))
        self.assertEqual(own.of("Issuer"), [])
        self.assertEqual(own.one("Certificate")["spec"]["issuerRef"], issuer)

    def test_an_existing_secret_is_mounted_and_its_ca_given(self):
        values = at("controller.admissionWebhooks.patch.enabled", False)
        rendered = render(values)
        self.certificate_is_mounted(rendered, {"secretName": "portcullis-admission"})
        self.assertNotIn("caBundle", rendered.one("ValidatingWebhookConfiguration")["webhooks"][0]["clientConfig"])
        rendered = render(
            merged(values, at("controller.admissionWebhooks", {"existingSecret": "mine", "caBundle": "Q0E="}))
        )
        self.certificate_is_mounted(rendered, {"secretName": "mine"})
        self.assertEqual(
            rendered.one("ValidatingWebhookConfiguration")["webhooks"][0]["clientConfig"]["caBundle"], "Q0E="
        )

    def certificate_is_mounted(self, rendered, secret):
        flags = rendered.flags()
        self.assertEqual(flags["validating-webhook-certificate"], "/usr/local/certificates/cert")
        self.assertEqual(flags["validating-webhook-key"], "/usr/local/certificates/key")
        self.assertNotIn("validating-webhook-secret", flags)
        (mount,) = [m for m in rendered.container()["volumeMounts"] if m["name"] == "webhook-cert"]
        self.assertEqual(mount["mountPath"], "/usr/local/certificates")
        (volume,) = [v for v in rendered.pod()["volumes"] if v["name"] == "webhook-cert"]
        self.assertEqual(volume["secret"], secret)

    def test_the_configuration_asks_the_service_about_changed_ingresses(self):
        rendered = render()
        (webhook,) = rendered.one("ValidatingWebhookConfiguration")["webhooks"]
        self.assertEqual(webhook["name"], "validate.nginx.ingress.kubernetes.io")
        service = {
            "name": "portcullis-controller-admission",
            "namespace": "portcullis",
            "port": 443,
            "path": "/networking/v1/ingresses",
        }
        self.assertEqual(webhook["clientConfig"], {"service": service})
        self.assertEqual(
            (webhook["failurePolicy"], webhook["sideEffects"], webhook["matchPolicy"]), ("Fail", "None", "Equivalent")
        )
        (rule,) = webhook["rules"]
        self.assertEqual((rule["resources"], rule["operations"]), (["ingresses"], ["CREATE", "UPDATE"]))
        (port,) = rendered.one("Service", "portcullis-controller-admission")["spec"]["ports"]
        self.assertEqual((port["port"], port["targetPort"]), (443, "webhook"))

    def test_without_a_webhook_nothing_of_it_is_there(self):
        rendered = render(at("controller.admissionWebhooks.enabled", False))
        self.assertFalse([flag for flag in rendered.flags() if "webhook" in flag])
        self.assertFalse([rendered.title(o) for o in rendered if "admission" in o["metadata"]["name"]])
        self.assertNotIn("webhook", [port["name"] for port in rendered.container()["ports"]])


if __name__ == "__main__":
    unittest.main()
