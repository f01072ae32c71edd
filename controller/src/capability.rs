//! The right to listen on ports below 1024 without being root.

use std::io;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Takes `CAP_NET_BIND_SERVICE` where it is permitted (capabilities(7)); without it nothing changes.
///
/// The image's file capability permits it and does not make it effective: a program with an effective file capability cannot
/// even be started in a Pod that drops all capabilities. Capabilities are each thread's own and go to those it starts, so
/// this comes before any other.
///
/// # Errors
///
/// When the system refuses.
pub fn raise() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    let wanted = CapabilitySet::NET_BIND_SERVICE;
    if sets.permitted.contains(wanted) && !sets.effective.contains(wanted) {
        sets.effective |= wanted;
        set_capabilities(None, sets)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a thread of its own: what is dropped here must not be missing elsewhere.
    fn alone(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn what_is_permitted_becomes_effective_and_nothing_else() {
        alone(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective = CapabilitySet::empty();
            sets.permitted &= CapabilitySet::NET_BIND_SERVICE | CapabilitySet::NET_RAW;
            set_capabilities(None, sets).unwrap();
            raise().unwrap();
            let raised = capabilities(None).unwrap();
            assert_eq!(raised.effective, sets.permitted & CapabilitySet::NET_BIND_SERVICE);
            assert_eq!(raised.permitted, sets.permitted);
        });
    }

    #[test]
    fn without_permission_nothing_changes() {
        alone(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective = CapabilitySet::empty();
            sets.permitted = CapabilitySet::empty();
            set_capabilities(None, sets).unwrap();
            raise().unwrap();
            assert_eq!(capabilities(None).unwrap(), sets);
        });
    }
}
