//! The command line.

use std::time::Duration;

/// What it was started with.
#[derive(Debug)]
pub(crate) struct Options {
    /// A name that every answer carries.
    pub(crate) name: String,
    /// Port for HTTP/1.1.
    pub(crate) http: u16,
    /// Port where a connection gets the Pod's name in a line and then all it sends.
    pub(crate) tcp: Option<u16>,
    /// Port where a datagram comes back behind the Pod's name.
    pub(crate) udp: Option<u16>,
    /// How long it serves on after SIGTERM.
    pub(crate) drain: Duration,
    /// Whether it ends at once instead.
    pub(crate) rude: bool,
}

impl Options {
    /// Reads the words after the program's name.
    pub(crate) fn of(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            name: "echo".to_owned(),
            http: 8080,
            tcp: None,
            udp: None,
            drain: Duration::from_secs(2),
            rude: false,
        };
        while let Some(word) = words.next() {
            if word == "--rude" {
                options.rude = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{word}: a value is missing"))?;
            let number = || value.parse::<u16>().map_err(|error| format!("{word} {value}: {error}"));
            match word.as_str() {
                "--name" => options.name = value,
                "--http" => options.http = number()?,
                "--tcp" => options.tcp = Some(number()?),
                "--udp" => options.udp = Some(number()?),
                "--drain" => options.drain = Duration::from_secs(number()?.into()),
                _ => return Err(format!("{word} is no option")),
            }
        }
        Ok(options)
    }
}
