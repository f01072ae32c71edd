//! Processes of Pods as the node sees them: containers are in the process namespace of the cluster.

use std::fs;

/// Numbers of the processes in a Pod whose containers have its name in `POD_NAME`.
pub fn processes_of(pod: &str) -> Vec<u32> {
    let variable = format!("POD_NAME={pod}");
    let is_of_pod = |environment: Vec<u8>| environment.split(|octet| *octet == 0).any(|one| one == variable.as_bytes());
    let entries = fs::read_dir("/proc").expect("processes");
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|number| fs::read(format!("/proc/{number}/environ")).is_ok_and(is_of_pod)).collect()
}
