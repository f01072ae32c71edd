//! The backend of the cluster tests: answers HTTP, TCP and UDP with what it was asked and which Pod it is.
//!
//! `cluster-echo [--name NAME] [--http PORT] [--tcp PORT] [--udp PORT] [--drain SECONDS] [--rude]`. At SIGTERM it
//! goes on for the seconds of `--drain` (2), asking clients to come on another connection, and ends when nothing is
//! in flight; `--rude` ends at once, as a program does that knows nothing of Kubernetes.

mod http;
mod options;
mod request;
mod state;
mod streams;

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::options::Options;
use crate::state::State;

fn main() -> io::Result<()> {
    let options = Options::of(std::env::args().skip(1)).map_err(io::Error::other)?;
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let state = Arc::new(State::new(options.name));
    listen(options.http, &state, http::serve)?;
    if let Some(port) = options.tcp {
        listen(port, &state, streams::tcp)?;
    }
    if let Some(port) = options.udp {
        let (socket, state) = (UdpSocket::bind(("0.0.0.0", port))?, state.clone());
        thread::spawn(move || streams::udp(&socket, &state));
    }
    let _ends_it = signals.forever().next();
    if !options.rude {
        state.drain(options.drain);
    }
    Ok(())
}

/// A thread that accepts, and one for each connection it gets.
fn listen(port: u16, state: &Arc<State>, serve: fn(&std::net::TcpStream, &State) -> io::Result<()>) -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    let state = state.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // More connections than that are closed.
            let Some(place) = state.connection() else { continue };
            thread::spawn(move || {
                // A client that goes away is no matter of ours.
                let _gone = serve(&stream, place.state());
            });
        }
    });
    Ok(())
}
