//! The walk of a beginner's tutorial, with the commands that such a tutorial gives.

use std::fs;

use portcullis_tests::HostCertificate;
use portcullis_tests::cluster::{Curl, ECHO_IMAGE, Install, Namespace, Portcullis};
use serde_json::Value;

/// The host of the shop.
const SHOP: &str = "my-online-store.com";

/// Its department with a host of its own.
const WEAR: &str = "wear.my-online-store.com";

#[test]
fn the_walk_of_a_beginners_tutorial() {
    let controller = Namespace::new("tutorial");
    let portcullis = Install::new().start(&controller);
    // Nobody's label says there what Pods must be like.
    let shop = Namespace::unrestricted("my-online-store");
    for name in ["wear", "watch", "default-http-backend"] {
        shop.kubectl(&["create", "deployment", name, &format!("--image={ECHO_IMAGE}"), "--port=8080"]);
        shop.kubectl(&[
            "expose",
            "deployment",
            name,
            &format!("--name={}", service(name)),
            "--port=80",
            "--target-port=8080",
        ]);
    }
    for name in ["wear", "watch", "default-http-backend"] {
        shop.rolled_out(name);
    }
    let walk = Walk { curl: Curl::new(portcullis.http, portcullis.https), portcullis, shop };

    walk.by_path();
    walk.rewritten();
    walk.by_host();
    walk.default_backend();
    walk.with_tls();
}

struct Walk {
    shop: Namespace,
    portcullis: Portcullis,
    curl: Curl,
}

impl Walk {
    fn by_path(&self) {
        self.create(
            "shop",
            &[&format!("--rule={SHOP}/wear=wear-service:80"), &format!("--rule={SHOP}/watch=watch-service:80")],
        );
        self.waits_for(SHOP, "/wear", "wear", "/wear");
        self.waits_for(SHOP, "/watch", "watch", "/watch");
        for path in ["/", "/wear/hats", "/support"] {
            assert_eq!(self.curl.get("http", SHOP, path).expect("an answer").0, 404, "{path}");
        }
        self.shop.wait_until("kubectl shows the address", || {
            let line = self.shop.kubectl(&["get", "ingress", "shop", "--no-headers"]);
            let columns: Vec<&str> = line.split_whitespace().collect();
            let address = self.address();
            matches!(columns[..], ["shop", class, SHOP, shown, "80", _] if class == self.portcullis.class && shown == address)
        });
    }

    fn rewritten(&self) {
        let annotation = "nginx.ingress.kubernetes.io/rewrite-target=/";
        self.shop.kubectl(&["annotate", "ingress", "shop", annotation]);
        self.waits_for(SHOP, "/wear", "wear", "/");
        self.waits_for(SHOP, "/watch", "watch", "/");
    }

    fn by_host(&self) {
        self.create("wear", &[&format!("--rule={WEAR}/*=wear-service:80")]);
        self.create("watch", &["--rule=watch.my-online-store.com/*=watch-service:80"]);
        self.waits_for(WEAR, "/hats", "wear", "/hats");
        self.waits_for("watch.my-online-store.com", "/", "watch", "/");
        self.waits_for(SHOP, "/wear", "wear", "/");
    }

    fn default_backend(&self) {
        assert_eq!(self.curl.get("http", "elsewhere.example", "/").expect("an answer").0, 404);
        self.create("anything-else", &["--default-backend=default-http-backend:80"]);
        self.waits_for("elsewhere.example", "/any", "default-http-backend", "/any");
        self.waits_for(WEAR, "/hats", "wear", "/hats");
        let described = self.shop.kubectl(&["describe", "ingress", "anything-else"]);
        assert!(described.contains("default-http-backend:80"), "{described}");
    }

    fn with_tls(&self) {
        let (pair, folder) = (HostCertificate::new(WEAR), tempfile::tempdir().expect("a folder"));
        let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
        fs::write(&certificate, pair.certificate()).expect("a file");
        fs::write(&key, pair.key()).expect("a file");
        let [cert, key] =
            [("cert", &certificate), ("key", &key)].map(|(name, path)| format!("--{name}={}", path.display()));
        self.shop.kubectl(&["create", "secret", "tls", "wear-tls", &cert, &key]);
        self.shop.kubectl(&["delete", "ingress", "wear"]);
        self.create("wear", &[&format!("--rule={WEAR}/*=wear-service:80,tls=wear-tls")]);

        let curl = self.curl.clone().trusting(certificate);
        self.shop.wait_until("the certificate is served", || {
            curl.get("https", WEAR, "/").is_ok_and(|(status, _)| status == 200)
        });
        assert_eq!(
            backend(&curl.get("https", WEAR, "/hats").expect("an answer").1),
            ("wear".to_owned(), "/hats".to_owned())
        );
        assert_eq!(curl.get("http", WEAR, "/").expect("an answer").0, 308, "HTTP leads to HTTPS");
        let error = self.curl.get("https", WEAR, "/").expect_err("nobody has said to trust it");
        assert!(error.contains("certificate"), "{error}");
    }

    fn create(&self, name: &str, rest: &[&str]) {
        let class = format!("--class={}", self.portcullis.class);
        self.shop.kubectl(&[&["create", "ingress", name, &class], rest].concat());
    }

    /// Waits until a backend answers, with the path that it is asked for.
    fn waits_for(&self, host: &str, path: &str, name: &str, target: &str) {
        let wanted = (name.to_owned(), target.to_owned());
        self.shop.wait_until(&format!("{host}{path} is served by {name} as {target}"), || {
            let answer = self.curl.get("http", host, path);
            answer.is_ok_and(|(status, body)| status == 200 && backend(&body) == wanted)
        });
    }

    /// The cluster address of the controller's Service, which stands for it where there is no load balancer.
    fn address(&self) -> String {
        let class = &self.portcullis.class;
        let service = format!("service/{}", self.portcullis.deployment);
        portcullis_tests::cluster::kubectl(&["--namespace", class, "get", &service, "-o", "jsonpath={.spec.clusterIP}"])
    }
}

fn service(deployment: &str) -> String {
    if deployment.ends_with("-backend") { deployment.to_owned() } else { format!("{deployment}-service") }
}

/// Deployment and path that an answer names: Pods are called `DEPLOYMENT-REPLICASET-POD`.
fn backend(body: &str) -> (String, String) {
    let said: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no echo: {body:?}"));
    let text = |key: &str| said[key].as_str().expect("text").to_owned();
    let pod = text("pod");
    let deployment = pod.rsplitn(3, '-').nth(2).expect("three parts").to_owned();
    (deployment, text("target"))
}
