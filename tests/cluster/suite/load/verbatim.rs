//! A Deployment made for ingress-nginx of which only the image is changed.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portcullis_tests::cluster::{
    Echo, IMAGE, Load, NODE, Namespace, Report, Strays, kubectl, kubectl_with, measured, processes_of, tried,
};
use portcullis_tests::{Client, HostCertificate};

use super::http2::Http2;

const MANIFEST: &str = include_str!("../../manifests/ingress-nginx.yaml");
const ITS_IMAGE: &str = "registry.k8s.io/ingress-nginx/controller:v1.15.1";
const CONTROLLER: &str = "ingress-nginx-controller";
const PODS: &str = "app.kubernetes.io/component=controller";
const HOST: &str = "wear.example";

#[test]
fn a_deployment_of_ingress_nginx_with_only_its_image_changed_serves_and_rolls_over() {
    let installed = Installed::apply();
    let shop = Namespace::new("verbatim");
    Echo::new("wear").start(&shop);
    let certificate = HostCertificate::new(HOST);
    shop.apply(&certificate.secret_in(shop.name(), "wear-tls"));
    let annotation = "--annotation=nginx.ingress.kubernetes.io/ssl-redirect=false";
    let rule = format!("--rule={HOST}/*=wear:80,tls=wear-tls");
    shop.kubectl(&["create", "ingress", "wear", "--class=nginx", annotation, &rule]);
    let (http, https) = (installed.port("http"), installed.port("https"));
    shop.wait_until("HTTP and HTTPS are served at ports of the node", || {
        let plain = Client::new("GET", HOST, "/").send(http);
        let secure = Client::new("GET", HOST, "/").send_tls(https, certificate.client(&[b"http/1.1"]));
        [plain, secure].iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200))
    });

    installed.serves_on_low_ports_as_user_101();
    installed.leads_by_the_old_roles();
    shop.wait_until("the status has the address of the node", || {
        shop.field("ingress/wear", "{.status.loadBalancer.ingress[*].ip}") == NODE.to_string()
    });
    refuses_bad_ingresses(&shop);
    installed.was_never_forbidden_anything();

    installed.rolls_over_under_load(&certificate);
    installed.was_never_forbidden_anything();
}

/// What the manifest makes, with what its Jobs leave behind.
struct Installed {
    namespace: Namespace,
}

impl Installed {
    fn apply() -> Self {
        assert_eq!(MANIFEST.matches(ITS_IMAGE).count(), 1);
        let namespace = Namespace::unrestricted("ingress-nginx");
        let certificate = HostCertificate::new("ingress-nginx-controller-admission.ingress-nginx.svc");
        namespace.apply(&webhook_secret(&certificate));
        let installed = Self { namespace };
        kubectl_with(&["apply", "-f", "-"], &MANIFEST.replace(ITS_IMAGE, IMAGE));
        let authority = installed.namespace.field("secret/ingress-nginx-admission", "{.data.ca}");
        let patch = format!(
            "[{{\"op\": \"add\", \"path\": \"/webhooks/0/clientConfig/caBundle\", \"value\": \"{authority}\"}}]"
        );
        let configuration = "validatingwebhookconfiguration/ingress-nginx-admission";
        kubectl(&["patch", configuration, "--type=json", "-p", &patch]);
        installed.namespace.rolled_out(CONTROLLER);
        installed.namespace.reachable(installed.port("http"));
        installed.namespace.reachable(installed.port("https"));
        installed.namespace.reachable(installed.namespace.service_address("ingress-nginx-controller-admission"));
        installed
    }

    fn port(&self, name: &str) -> SocketAddr {
        self.namespace.node_port_of(CONTROLLER, name)
    }

    fn serves_on_low_ports_as_user_101(&self) {
        let [pod] = &self.namespace.pods(PODS)[..] else { panic!("one Pod") };
        for (port, path, status) in [(80, "/", 200), (10254, "/healthz", 200), (10254, "/debug/table", 404)] {
            let answer = Client::new("GET", HOST, path).send(self.namespace.address_of(pod, port)).expect("an answer");
            assert_eq!(answer.status, status, "{port} {path}");
        }
        assert_eq!(users_of(pod), BTreeSet::from(["101".to_owned()]));
    }

    fn leads_by_the_old_roles(&self) {
        let pods = self.namespace.pods(PODS);
        self.namespace.wait_until("a Pod holds the Lease", || {
            let holder = self.namespace.try_kubectl(&[
                "get",
                "lease/ingress-nginx-leader",
                "-o",
                "jsonpath={.spec.holderIdentity}",
            ]);
            holder.is_ok_and(|holder| pods.contains(&holder))
        });
        let asked = ["auth", "can-i", "create", "events", "--as=system:serviceaccount:ingress-nginx:ingress-nginx"];
        assert_eq!(kubectl(&asked).trim(), "yes");
    }

    fn was_never_forbidden_anything(&self) {
        for pod in self.namespace.pods(PODS) {
            let log = self.namespace.kubectl(&["logs", &pod]);
            let refused = log.lines().find(|line| line.to_ascii_lowercase().contains("forbidden"));
            assert_eq!(refused, None, "{pod}");
        }
    }

    /// The one replica is told to end before the new one is ready, and serves on until then.
    fn rolls_over_under_load(&self, certificate: &HostCertificate) {
        let before = self.namespace.pods(PODS);
        let (http, https) = (self.port("http"), self.port("https"));
        let strays = Strays::of(&[http, https]);
        let load = || Load::new(http, HOST, "/?delay=20").rate(50).threads(2);
        let (fresh, kept) = (load().start(), load().keep_alive().start());
        let secure = Http2::start(https, HOST, "/?delay=20", certificate, true);
        fresh.wait(Duration::from_secs(1));
        let begin = Instant::now();
        self.namespace.restart(CONTROLLER);
        let rolled = begin.elapsed();
        self.namespace.wait_until("the old Pods are gone", || {
            self.namespace.all_pods(PODS).iter().all(|pod| !before.contains(pod))
        });
        measured(&format!("verbatim: rolled out in {rolled:.1?}, gone in {:.1?}", begin.elapsed()));
        fresh.wait(Duration::from_secs(1));
        let events = self.namespace.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
        assert!(!events.contains("FailedPreStopHook"), "{events}");
        let reports = [("new connections", fresh.finish()), ("kept ones", kept.finish()), ("HTTP/2", secure.finish())];
        let mut whole = Report::default();
        for (name, report) in reports {
            measured(&format!("verbatim, rolled over, {name}: {}", report.summary()));
            assert!(report.sent > 200, "{}", report.summary());
            whole.join(report);
        }
        measured(&format!("verbatim, rolled over: {} strayed", strays.count()));
        whole.only_failed(strays.count(), 600);
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // It would refuse the Ingresses of all other tests; the namespace goes by itself.
        for object in [
            "validatingwebhookconfiguration/ingress-nginx-admission",
            "clusterrolebinding/ingress-nginx",
            "clusterrole/ingress-nginx",
            "ingressclass/nginx",
        ] {
            let _gone = tried("kubectl", &["delete", object, "--ignore-not-found"], "");
        }
    }
}

/// As the Job of the manifest makes it.
fn webhook_secret(certificate: &HostCertificate) -> String {
    let text = |pem: &str| pem.lines().map(|line| format!("\n    {line}")).collect::<String>();
    let (certificate, key) = (text(certificate.certificate()), text(certificate.key()));
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: ingress-nginx-admission}}
stringData:
  ca: |{certificate}
  cert: |{certificate}
  key: |{key}
"
    )
}

/// Real user ids of the processes of a Pod (proc(5)).
fn users_of(pod: &str) -> BTreeSet<String> {
    let status = |number| fs::read_to_string(format!("/proc/{number}/status")).ok();
    let user = |text: String| {
        let ids = text.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        ids.split_whitespace().next().map(str::to_owned)
    };
    processes_of(pod).into_iter().filter_map(status).filter_map(user).collect()
}

fn refuses_bad_ingresses(shop: &Namespace) {
    for (name, annotation, rule) in [
        ("bad-value", "nginx.ingress.kubernetes.io/upstream-vhost=a;b", "other.example/*=wear:80"),
        ("taken", "example.com/a=b", "wear.example/*=wear:80"),
    ] {
        let annotation = format!("--annotation={annotation}");
        let rule = format!("--rule={rule}");
        let refused = shop.try_kubectl(&["create", "ingress", name, "--class=nginx", &annotation, &rule]);
        let reason = refused.expect_err("it is refused");
        assert!(reason.contains("validate.nginx.ingress.kubernetes.io"), "{name}: {reason}");
    }
    shop.kubectl(&["create", "ingress", "good", "--class=nginx", "--rule=other.example/*=wear:80"]);
}
