//! Many Ingresses at once.

use std::time::{Duration, Instant};

use portcullis_tests::Client;
use portcullis_tests::cluster::{Api, Echo, Install, Namespace, measured};
use serde_json::json;

const INGRESSES: usize = 1000;

#[test]
fn a_thousand_ingresses_created_at_once_are_all_served() {
    let namespace = Namespace::new("scale");
    let portcullis = Install::new().start(&namespace);
    Echo::new("wear").start(&namespace);
    let objects: Vec<String> = (0..INGRESSES).map(|number| ingress(&portcullis.class, number)).collect();

    let path = format!("/apis/networking.k8s.io/v1/namespaces/{}/ingresses", namespace.name());
    let begin = Instant::now();
    Api::open().create_all(&path, &objects);
    let created = begin.elapsed();
    let served = |number: usize| {
        Client::new("GET", &host(number), "/").send(portcullis.http).is_ok_and(|answer| answer.status == 200)
    };
    let last = namespace.wait_until("the last ones are served", || (INGRESSES - 8..INGRESSES).all(served));
    measured(&format!("{INGRESSES} Ingresses created in {created:.1?}, the last ones served {last:.1?} later"));
    assert!(last < Duration::from_secs(5), "{last:?}");
    for number in 0..INGRESSES {
        assert!(served(number), "{}", host(number));
    }
}

fn host(number: usize) -> String {
    format!("shop-{number}.example")
}

fn ingress(class: &str, number: usize) -> String {
    let backend = json!({"service": {"name": "wear", "port": {"number": 80}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": format!("shop-{number}")},
        "spec": {"ingressClassName": class, "rules": [{
            "host": host(number), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
        }]},
    })
    .to_string()
}
