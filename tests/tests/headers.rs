//! Header fields out of ConfigMaps that change while the program runs.

use std::fs;

use portcullis_tests::manifests::{annotated_ingress, service};
use portcullis_tests::{Origin, Start, wait_until};

fn config_map(name: &str, data: &[(&str, &str)]) -> String {
    let mut text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: demo}}\ndata:\n");
    for (key, value) in data {
        text.push_str(&format!("  {key}: {value:?}\n"));
    }
    text
}

#[test]
fn a_changed_config_map_is_served_and_a_removed_one_closes_the_paths_that_name_it() {
    let origin = Origin::start("a");
    let annotations = [("custom-headers", "demo/custom")];
    let instance = Start::new()
        .file(
            "controller.yaml",
            &config_map("controller", &[("add-headers", "demo/add"), ("global-allowed-response-headers", "X-Team")]),
        )
        .file("add.yaml", &config_map("add", &[("X-Added", "1")]))
        .file("custom.yaml", &config_map("custom", &[("X-Team", "one")]))
        .file("service.yaml", &service("a", &[origin.address()]))
        .file("ingress.yaml", &annotated_ingress("a", "a.example", "/", "a", &annotations))
        .flag("--configmap=demo/controller")
        .serve();
    let header = |name: &str| instance.get("a.example", "/").headers.get(name).cloned();
    assert_eq!((header("x-added").as_deref(), header("x-team").as_deref()), (Some("1"), Some("one")));
    instance.put("custom.yaml", &config_map("custom", &[("X-Team", "two")]));
    wait_until("the changed custom header", || header("x-team").as_deref() == Some("two"));
    instance.put("add.yaml", &config_map("add", &[("X-Added", "2")]));
    wait_until("the changed added header", || header("x-added").as_deref() == Some("2"));
    instance.put("custom.yaml", &config_map("custom", &[("X-Other", "two")]));
    wait_until("the end of a header that is not allowed", || instance.get("a.example", "/").status == 503);
    instance.put("custom.yaml", &config_map("custom", &[("X-Team", "three")]));
    wait_until("the way back", || header("x-team").as_deref() == Some("three"));
    fs::remove_file(instance.manifests().join("custom.yaml")).expect("a manifest can be removed");
    wait_until("the end of the ConfigMap", || instance.get("a.example", "/").status == 503);
    assert_eq!(header("x-added").as_deref(), Some("2"));
    instance.end();
}
