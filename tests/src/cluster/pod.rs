//! The program of a Pod, seen from the node: a process like any other.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use super::Namespace;

/// Ticks per second in `/proc/PID/stat`.
const TICKS: f64 = 100.0;

/// A Pod with one container that runs.
#[derive(Debug)]
pub struct Pod {
    /// Its address.
    pub address: IpAddr,
    process: u32,
}

impl Pod {
    /// Waits until its container runs.
    pub fn running(namespace: &Namespace, name: &str) -> Self {
        let object = format!("pod/{name}");
        let uid = namespace.field(&object, "{.metadata.uid}");
        let mut pod = None;
        namespace.wait_until(&format!("{name} runs"), || {
            let address = namespace.field(&object, "{.status.podIP}").parse();
            pod = address.ok().zip(process(&uid)).map(|(address, process)| Self { address, process });
            pod.is_some()
        });
        pod.expect("waited for")
    }

    /// Where it answers at one of its ports.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// How long ago its program was started.
    pub fn age(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process)).expect("the program still runs");
        let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
        // proc_pid_stat(5): field 22, the third of which is the first here.
        let start = rest.split_whitespace().nth(19).and_then(|ticks| ticks.parse::<f64>().ok()).expect("a start");
        let uptime = fs::read_to_string("/proc/uptime").expect("an uptime");
        let now = uptime.split(' ').next().and_then(|seconds| seconds.parse::<f64>().ok()).expect("seconds");
        Duration::from_secs_f64((now - start / TICKS).max(0.0))
    }

    /// Ends its program by SIGKILL, as when it has crashed.
    pub fn crash(&self) {
        let status = Command::new("kill").args(["-KILL", &self.process.to_string()]).status();
        assert!(status.expect("kill can be started").success(), "{self:?}");
    }
}

/// The process of a Pod that is not the one that holds its namespaces.
fn process(uid: &str) -> Option<u32> {
    let group = format!("pod{uid}");
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.find(|number| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{number}/{file}")).unwrap_or_default();
        // runc prepares the container under this name.
        read("cgroup").contains(&group) && !read("comm").starts_with("pause") && !read("comm").starts_with("runc")
    })
}
