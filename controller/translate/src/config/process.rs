//! Keys about the process: workers, their connections, and its end.

use std::num::NonZeroUsize;

use super::key::{Problem, integer};
use super::time;
use super::written::Written;
use crate::annotations::value::Fault;

/// More threads than any machine has cores for are a mistake.
const MOST_WORKERS: usize = 1024;

pub(super) fn workers(written: &mut Written, text: &str) -> Result<(), Problem> {
    let process = &mut written.settings.process;
    if text == "auto" {
        process.workers = None;
        return Ok(());
    }
    let count = number(text)?.filter(|count| count.get() <= MOST_WORKERS);
    process.workers = Some(count.ok_or(Fault::not("`auto` or a number from 1 to 1024"))?);
    Ok(())
}

pub(super) fn connections(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.settings.process.connections = number(text)?;
    Ok(())
}

pub(super) fn shutdown_timeout(written: &mut Written, text: &str) -> Result<(), Problem> {
    written.settings.process.shutdown_timeout = time::parse(text)?;
    Ok(())
}

/// A number from 0; none for 0.
fn number(text: &str) -> Result<Option<NonZeroUsize>, Fault> {
    let number = usize::try_from(integer(text)?).map_err(|_| Fault::not("a number from 0"))?;
    Ok(NonZeroUsize::new(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_auto_or_a_number() {
        for (text, want) in [
            ("auto", Some(None)),
            ("4", Some(Some(4))),
            ("0", None),
            ("-1", None),
            ("2000", None),
            ("many", None),
            ("", None),
        ] {
            let mut written = Written::default();
            let read = workers(&mut written, text).is_ok();
            let got = written.settings.process.workers.map(NonZeroUsize::get);
            assert_eq!(read.then_some(got), want, "{text:?}");
        }
    }
}
