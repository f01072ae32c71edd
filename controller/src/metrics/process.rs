//! Memory, CPU and files of the process, from `/proc/self`; nothing where there is none.

use std::{fmt, fs};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::{Writer, number};

/// Ticks per second in `/proc/self/stat`: `USER_HZ`, 100 on every Linux.
const TICKS: f64 = 100.0;

/// The numbers, read at once.
struct Usage {
    cpu_seconds: f64,
    start_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    threads: f64,
    open_files: f64,
}

impl Usage {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the process, in parentheses, may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Numbers of fields as in proc_pid_stat(5), whose third is the first here.
        let field = |field: usize| fields.get(field.checked_sub(3)?)?.parse::<f64>().ok();
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(1024.0 * line.trim_start_matches(':').split_ascii_whitespace().next()?.parse::<f64>().ok()?)
        };
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS,
            start_seconds: boot_seconds()? + field(22)? / TICKS,
            resident_bytes: kilobytes("VmRSS")?,
            virtual_bytes: kilobytes("VmSize")?,
            threads: field(20)?,
            open_files: fs::read_dir("/proc/self/fd").map_or(0.0, |files| number(files.count())),
        })
    }
}

fn boot_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The names of Prometheus' client libraries.
#[derive(Debug)]
pub(super) struct OwnNames;

impl Collector for OwnNames {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(usage) = Usage::read() else { return Ok(()) };
        let mut write = Writer::new(encoder);
        write.counter("process_cpu_seconds", "CPU time spent", usage.cpu_seconds)?;
        write.gauge("process_resident_memory_bytes", "Memory in use", usage.resident_bytes)?;
        write.gauge("process_virtual_memory_bytes", "Address space in use", usage.virtual_bytes)?;
        write.gauge("process_start_time_seconds", "When the process began", usage.start_seconds)?;
        write.gauge("process_open_fds", "Open files and sockets", usage.open_files)?;
        write.gauge("process_threads", "Threads", usage.threads)
    }
}

/// The names under which ingress-nginx tells the same of nginx.
#[derive(Debug)]
pub(super) struct AsNginx;

impl Collector for AsNginx {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(usage) = Usage::read() else { return Ok(()) };
        let mut write = Writer::new(encoder);
        let name = |name: &str| format!("nginx_ingress_controller_nginx_process_{name}");
        write.counter(&name("cpu_seconds"), "CPU time spent", usage.cpu_seconds)?;
        write.gauge(&name("resident_memory_bytes"), "Memory in use", usage.resident_bytes)?;
        write.gauge(&name("virtual_memory_bytes"), "Address space in use", usage.virtual_bytes)?;
        write.gauge(&name("oldest_start_time_seconds"), "When the process began", usage.start_seconds)?;
        write.gauge(&name("num_procs"), "Processes", 1.0)
    }
}
