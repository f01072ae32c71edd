//! TCP and UDP services by the values of the chart.

use std::net::TcpStream;

use portcullis_tests::cluster::{Echo, Install, Namespace};
use serde_json::json;

use super::backends::{ask_by_tcp, ask_by_udp};

#[test]
fn ports_of_the_chart_lead_to_tcp_and_udp_services_until_they_are_taken_out() {
    let namespace = Namespace::new("l4");
    Echo::new("dns").streams().start(&namespace);
    let [pod] = &namespace.pods("app=dns")[..] else { panic!("one Pod") };
    let service = json!({"7000": format!("{}/dns:9000", namespace.name())});
    let portcullis = Install::new().values(json!({"tcp": service, "udp": service})).start(&namespace);

    let by_pod = namespace.pod_address(&portcullis.label(), 7000);
    let [tcp, udp] = ["7000-tcp", "7000-udp"].map(|name| namespace.node_port_of(&portcullis.deployment, name));
    for address in [by_pod, tcp] {
        namespace.reachable(address);
        ask_by_tcp(address, pod);
    }
    for address in [by_pod, udp] {
        ask_by_udp(address, pod);
    }

    let settings = format!("configmap/{}-tcp", namespace.name());
    let removal = r#"[{"op": "remove", "path": "/data/7000"}]"#;
    namespace.kubectl(&["patch", &settings, "--type=json", "-p", removal]);
    namespace.wait_until("the port is closed", || TcpStream::connect(by_pod).is_err());
    ask_by_udp(by_pod, pod);
}
