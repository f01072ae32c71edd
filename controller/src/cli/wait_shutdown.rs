//! `wait-shutdown`, a preStop hook: tells the program to end and returns when it has.
//!
//! The program is process 1 of its container. Where containers share a process namespace that is another one, so it is known
//! by its command line, and by the cgroup, which each container has for itself.

use std::ffi::CStr;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::set_name;

/// How often the other process is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long the program stays after all has ended. Everything in its container ends with it, so a hook that only then returned
/// would be killed, and every Pod that ends would have a warning among its Events.
const STAY: Duration = Duration::from_millis(200);

/// What the program is called once all has ended (proc(5), `/proc/pid/comm`).
const ENDED: &CStr = c"ended";

/// Sends one SIGTERM (a second would cut the drain short) and waits as long as it takes; the kubelet bounds it.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    let proc = Path::new("/proc");
    let found = find(proc).context("no process here runs in a cluster, there is nothing to wait for")?;
    let folder = proc.join(found.to_string());
    let pid = Pid::from_raw(found).context("not a process")?;
    let name = comm(&folder);
    // As process 1 it would never see a signal that it does not handle yet.
    while name.is_some() && comm(&folder) == name && !handles_sigterm(&folder) {
        std::thread::sleep(LOOK);
    }
    if comm(&folder) == name {
        kill_process(pid, Signal::TERM).with_context(|| format!("process {found} cannot be told to end"))?;
    }
    while name.is_some() && comm(&folder) == name {
        std::thread::sleep(LOOK);
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells [`run`] in the same container that all has ended, and gives it the time to see it.
pub(super) fn tell() {
    if set_name(ENDED).is_ok() {
        std::thread::sleep(STAY);
    }
}

/// The process with the lowest number that is this program, running in a cluster and in this container.
fn find(proc: &Path) -> Option<i32> {
    let file = |process: &str, name: &str| fs::read(proc.join(process).join(name)).unwrap_or_default();
    let here = file("self", "cgroup");
    let is_ours = |number: &i32| {
        let process = number.to_string();
        is_ours(&file(&process, "cmdline")) && file(&process, "cgroup") == here
    };
    let numbers = fs::read_dir(proc).ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(is_ours).min()
}

/// Whether arguments, each with a zero octet at its end, are those of this program running in a cluster.
fn is_ours(arguments: &[u8]) -> bool {
    let mut arguments = arguments.split(|octet| *octet == 0);
    let program = arguments.next().and_then(|program| program.rsplit(|octet| *octet == b'/').next());
    match program {
        Some(b"nginx-ingress-controller") => true,
        Some(b"portcullis") => arguments.next() == Some(b"run"),
        _ => false,
    }
}

/// What a process is called; none where it is gone or has ended.
fn comm(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join("comm")).ok().filter(|name| name.trim_end().as_bytes() != ENDED.to_bytes())
}

/// Whether it has a handler for SIGTERM: bit 14 of the mask of caught signals (proc(5)).
fn handles_sigterm(folder: &Path) -> bool {
    let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & (1 << 14) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_known_by_its_command_line() {
        for (arguments, want) in [
            (&b"/portcullis\0run\0--v=2\0"[..], true),
            (b"portcullis\0run\0", true),
            (b"/nginx-ingress-controller\0--configmap=a/b\0", true),
            (b"/nginx-ingress-controller\0", true),
            (b"/portcullis\0serve\0run\0", false),
            (b"/portcullis\0runs\0", false),
            (b"/portcullis\0", false),
            (b"/wait-shutdown\0", false),
            (b"/pause\0run\0", false),
            (b"/portcullis/other\0run\0", false),
            (b"", false),
        ] {
            assert_eq!(is_ours(arguments), want, "{:?}", String::from_utf8_lossy(arguments));
        }
    }

    fn process(proc: &Path, number: &str, arguments: &str, comm: &str, caught: &str) {
        let folder = proc.join(number);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("cmdline"), arguments).unwrap();
        fs::write(folder.join("comm"), comm).unwrap();
        fs::write(folder.join("status"), format!("Name:\t{comm}SigIgn:\t0000000000001000\nSigCgt:\t{caught}\n"))
            .unwrap();
    }

    #[test]
    fn other_containers_of_the_pod_are_passed_over() {
        let proc = tempfile::tempdir().unwrap();
        let cgroup = |number, text| fs::write(proc.path().join(number).join("cgroup"), text).unwrap();
        process(proc.path(), "self", "/wait-shutdown\0", "wait-shutdown\n", "0");
        cgroup("self", "0::/\n");
        process(proc.path(), "1", "/pause\0", "pause\n", "0");
        process(proc.path(), "6", "/portcullis\0run\0", "portcullis\n", "0");
        cgroup("6", "0::/../other\n");
        assert_eq!(find(proc.path()), None);
        for number in ["40", "7"] {
            process(proc.path(), number, "/portcullis\0run\0", "portcullis\n", "0");
            cgroup(number, "0::/\n");
        }
        assert_eq!(find(proc.path()), Some(7));
    }

    #[test]
    fn a_process_has_ended_when_it_says_so_or_is_gone() {
        let proc = tempfile::tempdir().unwrap();
        process(proc.path(), "1", "", "portcullis\n", "0");
        process(proc.path(), "2", "", "ended\n", "0");
        assert_eq!(comm(&proc.path().join("1")).as_deref(), Some("portcullis\n"));
        assert_eq!(comm(&proc.path().join("2")), None);
        assert_eq!(comm(&proc.path().join("3")), None);
    }

    #[test]
    fn a_signal_waits_for_its_handler() {
        let proc = tempfile::tempdir().unwrap();
        for (number, caught, want) in
            [("1", "0000000000004000", true), ("2", "0000000180014a03", true), ("3", "0000000180010a03", false)]
        {
            process(proc.path(), number, "", "portcullis\n", caught);
            assert_eq!(handles_sigterm(&proc.path().join(number)), want, "{caught}");
        }
        assert!(!handles_sigterm(&proc.path().join("4")));
    }
}
