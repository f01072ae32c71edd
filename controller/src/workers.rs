//! How many workers serve requests: as many as there are CPUs to use.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// The number of CPUs, or the quota of the control group where it is smaller; at least one.
#[must_use]
pub fn count() -> NonZeroUsize {
    let cpus = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    quota(Path::new("/sys/fs/cgroup"), &own).map_or(cpus, |quota| quota.min(cpus))
}

/// The smallest quota in force, in whole CPUs, rounded up. `own` is the content of `/proc/self/cgroup`.
fn quota(mount: &Path, own: &str) -> Option<NonZeroUsize> {
    let unified = own.lines().filter_map(|line| line.strip_prefix("0::"));
    let legacy = own.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|controller| controller == "cpu").then_some(path)
    });
    let v2 = unified.flat_map(|path| upwards(mount, path)).filter_map(|folder| read_v2(&folder));
    let v1 = legacy.flat_map(|path| upwards(&mount.join("cpu"), path)).filter_map(|folder| read_v1(&folder));
    v2.chain(v1).min()
}

/// The group and those above it: each of them limits.
fn upwards(mount: &Path, group: &str) -> Vec<PathBuf> {
    let group = Path::new(group.trim_start_matches('/'));
    group.ancestors().map(|group| mount.join(group)).collect()
}

/// `cpu.max` holds `QUOTA PERIOD` in microseconds, or `max PERIOD`.
fn read_v2(folder: &Path) -> Option<NonZeroUsize> {
    let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
    let mut words = text.split_ascii_whitespace();
    cpus(words.next()?.parse().ok()?, words.next()?.parse().ok()?)
}

/// A quota of -1 is none.
fn read_v1(folder: &Path) -> Option<NonZeroUsize> {
    let number = |name| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<i64>().ok();
    let quota = u64::try_from(number("cpu.cfs_quota_us")?).ok()?;
    cpus(quota, u64::try_from(number("cpu.cfs_period_us")?).ok()?)
}

fn cpus(quota: u64, period: u64) -> Option<NonZeroUsize> {
    let whole = quota.checked_add(period)?.checked_sub(1)?.checked_div(period)?;
    NonZeroUsize::new(usize::try_from(whole).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn the_smallest_quota_counts() {
        for (own, files, want) in [
            ("0::/pod/a\n", vec![("pod/a/cpu.max", "150000 100000\n")], Some(2)),
            ("0::/pod/a\n", vec![("pod/a/cpu.max", "max 100000\n"), ("pod/cpu.max", "100000 100000\n")], Some(1)),
            ("0::/\n", vec![("cpu.max", "50000 100000\n")], Some(1)),
            ("0::/\n", vec![("cpu.max", "max 100000\n")], None),
            ("0::/\n", vec![("cpu.max", "nonsense")], None),
            ("0::/\n", vec![], None),
            (
                "4:cpu,cpuacct:/a\n",
                vec![("cpu/a/cpu.cfs_quota_us", "300000"), ("cpu/a/cpu.cfs_period_us", "100000")],
                Some(3),
            ),
            ("4:cpu,cpuacct:/a\n", vec![("cpu/a/cpu.cfs_quota_us", "-1"), ("cpu/a/cpu.cfs_period_us", "100000")], None),
            ("4:cpuset:/a\n", vec![("cpu/a/cpu.cfs_quota_us", "300000"), ("cpu/a/cpu.cfs_period_us", "100000")], None),
            ("0::/\n", vec![("cpu.max", "100000 0")], None),
        ] {
            let folder = folder(&files);
            assert_eq!(quota(folder.path(), own).map(NonZeroUsize::get), want, "{own:?} {files:?}");
        }
    }
}
