//! Portcullis is installed, changed and removed: by the chart and by a manifest, with the webhook, which is asked about
//! every Ingress of the cluster.

use std::collections::BTreeSet;

use portcullis_tests::Client;
use portcullis_tests::cluster::{Echo, Install, Namespace, Portcullis, helm, kubectl, tried};
use serde_json::json;

/// Kinds of which an installation has objects that belong to no namespace. Helm leaves CustomResourceDefinitions alone.
const CLUSTER_KINDS: &str = "clusterroles,clusterrolebindings,ingressclasses,validatingwebhookconfigurations";

/// Kinds of which it may have objects in its namespace, beside Events.
const KINDS: &str = "all,configmaps,secrets,serviceaccounts,roles,rolebindings,leases,endpointslices,networkpolicies,\
                     poddisruptionbudgets,horizontalpodautoscalers";

#[test]
fn a_release_of_helm_is_changed_where_it_stands_and_removed_but_for_lease_and_certificate() {
    let before = cluster_objects();
    let (namespace, shop) = (Namespace::new("release"), Namespace::new("release-shop"));
    let name = namespace.name();
    let admission = format!("{name}-admission");
    let _webhook = Webhook(&admission);
    let install = Install::new().values(json!({"controller": {"admissionWebhooks": {"enabled": true}}}));
    let portcullis = install.start(&namespace);
    // Helm has waited until the webhook answers and the API server trusts it, but not for the rules of the node.
    let webhook = || namespace.reachable(namespace.service_address(&format!("{name}-controller-admission")));
    webhook();
    create_ingress(&shop, "wear", &portcullis);
    let twin = ["create", "ingress", "twin", &format!("--class={name}"), "--rule=wear.example/*=wear:80"];
    let refused = shop.try_kubectl(&twin).expect_err("the host and its path are taken");
    assert!(refused.contains("host \"wear.example\" and path \"/\" is already defined"), "{refused}");
    Echo::new("wear").start(&shop);
    served(&shop, &portcullis, 200);

    let pods = namespace.pods(&portcullis.label());
    let install = install.config("force-ssl-redirect", "true");
    install.upgrade(&namespace);
    served(&shop, &portcullis, 308);
    assert_eq!(namespace.pods(&portcullis.label()), pods, "the ConfigMap is followed, no Pod is replaced");

    let not_by_service = json!({"controller": {"publishService": {"enabled": false}}});
    install.clone().replicas(2).values(not_by_service).flag("publish-status-address", "192.0.2.1").upgrade(&namespace);
    let replaced = namespace.pods(&portcullis.label());
    assert!(replaced.len() == 2 && !replaced.contains(&pods[0]), "{pods:?} became {replaced:?}");
    shop.wait_until("the status has the new address", || {
        shop.field("ingress/wear", "{.status.loadBalancer.ingress[*].ip}") == "192.0.2.1"
    });

    helm(&["uninstall", name, "--namespace", name, "--wait", "--timeout=60s"]);
    namespace.wait_until("all Pods are gone", || objects(&namespace).iter().all(|object| !object.starts_with("pod/")));
    let left = [format!("lease.coordination.k8s.io/{name}-leader"), format!("secret/{name}-admission")];
    assert_eq!(objects(&namespace), left.clone().into(), "as deploy/docs/install.md says");
    assert_eq!(cluster_objects(), before);
    // Nobody is asked any more.
    shop.kubectl(&["delete", "ingress", "wear"]);
    shop.kubectl(&twin);
    shop.kubectl(&["delete", "ingress", "twin"]);

    // The Secret is taken up again; a leader that could not give up the Lease would be waited for.
    namespace.kubectl(&["delete", &left[0]]);
    let portcullis = install.start(&namespace);
    webhook();
    create_ingress(&shop, "wear", &portcullis);
    served(&shop, &portcullis, 308);
    helm(&["uninstall", name, "--namespace", name]);
}

#[test]
fn the_manifest_for_bare_metal_serves_and_is_removed() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/manifests/baremetal.yaml");
    let before = cluster_objects();
    let _webhook = Webhook("portcullis-admission");
    kubectl(&["apply", "-f", manifest]);
    let (namespace, shop) = (Namespace::existing("portcullis"), Namespace::new("bare-metal"));
    namespace.rolled_out("portcullis-controller");
    let portcullis = Portcullis::of(&namespace, "nginx", "portcullis-controller");
    namespace.reachable(namespace.service_address("portcullis-controller-admission"));
    create_ingress(&shop, "wear", &portcullis);
    Echo::new("wear").start(&shop);
    served(&shop, &portcullis, 200);
    shop.wait_until("the status has the address of the node", || {
        shop.field("ingress/wear", "{.status.loadBalancer.ingress[*].ip}") == portcullis.http.ip().to_string()
    });
    // What the controller has written, such as the CA of the webhook, is not taken back.
    kubectl(&["apply", "-f", manifest]);
    create_ingress(&shop, "after", &portcullis);

    kubectl(&["delete", "-f", manifest, "--wait=false"]);
    namespace.wait_until("all Pods are gone", || namespace.kubectl(&["get", "pods", "-o", "name"]).is_empty());
    assert_eq!(cluster_objects(), before);
    // Kubernetes itself comes back to it only after half of the time that the Pods may have taken to end.
    let phase = tried("kubectl", &["get", "namespace", "portcullis", "-o", "jsonpath={.status.phase}"], "");
    assert!(phase.is_err() || phase.as_deref() == Ok("Terminating"), "{phase:?}");
}

/// A webhook that is asked about every Ingress, which must not outlive a test that fails.
struct Webhook<'n>(&'n str);

impl Drop for Webhook<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "validatingwebhookconfiguration", self.0, "--ignore-not-found"];
        let _gone = tried("kubectl", &delete, "");
    }
}

fn create_ingress(shop: &Namespace, name: &str, portcullis: &Portcullis) {
    let class = format!("--class={}", portcullis.class);
    shop.kubectl(&["create", "ingress", name, &class, &format!("--rule={name}.example/*=wear:80")]);
}

fn served(shop: &Namespace, portcullis: &Portcullis, status: u16) {
    shop.wait_until(&format!("the answer is {status}"), || {
        Client::new("GET", "wear.example", "/").send(portcullis.http).is_ok_and(|answer| answer.status == status)
    });
}

fn cluster_objects() -> BTreeSet<String> {
    kubectl(&["get", CLUSTER_KINDS, "-o", "name"]).lines().map(str::to_owned).collect()
}

/// What is in a namespace beside what every namespace has.
fn objects(namespace: &Namespace) -> BTreeSet<String> {
    let text = namespace.kubectl(&["get", KINDS, "-o", "name"]);
    let everywhere = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
    text.lines().filter(|name| !everywhere.contains(name)).map(str::to_owned).collect()
}
