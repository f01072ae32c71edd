"""Values files of real installations, restated in ../values: what the chart makes of them, key by key."""

import re
import unittest

from rendering import INSTALLATIONS, Refused, merged, notes, render


class Installations(unittest.TestCase):
    """Values files of real installations, key by key."""

    def test_there_are_at_least_five_and_each_names_its_source(self):
        self.assertGreaterEqual(len(INSTALLATIONS), 5)
        sources = [(i["source"]["repository"], i["source"]["path"]) for i in INSTALLATIONS.values()]
        self.assertEqual(len(set(sources)), len(INSTALLATIONS))

    def each(self, compare):
        """Calls `compare` with what is expected of an installation and what is rendered."""
        for name, installation in INSTALLATIONS.items():
            with self.subTest(name):
                rendered = render(installation["values"], installation["release"], installation["namespace"])
                compare(installation["expect"], rendered)

    def test_the_controller_gets_these_flags_and_no_other(self):
        self.each(lambda expected, rendered: self.assertEqual(rendered.flags(), expected["flags"]))

    def test_the_config_map_has_these_keys_and_no_other(self):
        self.each(lambda expected, rendered: self.assertEqual(rendered.configuration(), expected["config"]))

    def test_the_other_config_maps_are_these(self):
        def compare(expected, rendered):
            main = rendered.workload()["metadata"]["name"]
            others = {
                o["metadata"]["name"]: o["data"] for o in rendered.of("ConfigMap") if o["metadata"]["name"] != main
            }
            self.assertEqual(others, expected.get("configMaps", {}))

        self.each(compare)

    def test_the_services_are_these_and_no_other(self):
        def compare(expected, rendered):
            found = {}
            for service in rendered.of("Service"):
                if not service["metadata"]["name"].endswith("-admission"):
                    found[service["metadata"]["name"]] = facts = {"spec": dict(service["spec"])}
                    del facts["spec"]["selector"]
                    if "annotations" in service["metadata"]:
                        facts["annotations"] = service["metadata"]["annotations"]
            self.assertEqual(found, expected["services"])

        self.each(compare)

    def test_the_workload_is_of_this_kind_and_size(self):
        def compare(expected, rendered):
            wanted = dict(expected["workload"])
            self.assertEqual(rendered.workload()["kind"], wanted.pop("kind"))
            self.assertEqual({key: rendered.workload()["spec"].get(key) for key in wanted}, wanted)

        self.each(compare)

    def test_webhook_autoscaler_and_ports_are_as_the_values_say(self):
        def compare(expected, rendered):
            for key, value in expected.get("webhook", {}).items():
                (webhook,) = rendered.one("ValidatingWebhookConfiguration")["webhooks"]
                self.assertEqual(webhook[key], value)
            for key, value in expected.get("autoscaling", {}).items():
                self.assertEqual(rendered.one("HorizontalPodAutoscaler")["spec"][key], value)
            if "containerPorts" in expected:
                self.assertEqual(rendered.container()["ports"], expected["containerPorts"])

        self.each(compare)

    def test_the_notes_name_the_keys_that_do_nothing_and_no_other(self):
        for name, installation in INSTALLATIONS.items():
            with self.subTest(name):
                text = notes(installation["values"], installation["release"], installation["namespace"])
                named = [line.strip() for line in text.splitlines() if re.search(r": (not known|no effect: .*)$", line)]
                self.assertEqual(named, installation["expect"].get("notes", []))

    def test_an_image_that_is_not_ours_is_refused_by_name(self):
        removed = [i for i in INSTALLATIONS.values() if "remove" in i]
        self.assertTrue(removed)
        for installation in removed:
            with self.assertRaisesRegex(Refused, "no image of Portcullis: remove registry, repository, image, tag"):
                render(merged(installation["values"], installation["remove"]))


if __name__ == "__main__":
    unittest.main()
