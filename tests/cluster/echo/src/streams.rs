//! TCP and UDP without HTTP: what was sent comes back, with the Pod's name before it.

use std::io::{self, Write};
use std::net::{TcpStream, UdpSocket};

use crate::state::State;

/// A line `POD PEER`, then all that comes in.
pub(crate) fn tcp(mut stream: &TcpStream, state: &State) -> io::Result<()> {
    let _in_flight = state.request();
    writeln!(stream, "{} {}", state.pod, stream.peer_addr()?)?;
    io::copy(&mut io::BufReader::new(stream), &mut stream)?;
    Ok(())
}

/// Each datagram comes back behind `POD `.
pub(crate) fn udp(socket: &UdpSocket, state: &State) {
    let mut buffer = [0; 65_535];
    while let Ok((size, peer)) = socket.recv_from(&mut buffer) {
        let mut back = format!("{} ", state.pod).into_bytes();
        back.extend(buffer.iter().take(size));
        // A peer that is gone is no matter of ours.
        let _gone = socket.send_to(&back, peer);
    }
}
