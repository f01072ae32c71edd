//! Byte streams on both sides: sockets with or without TLS, their time limits, and tunnels between two of them.

mod ends;
mod frames;
mod head_lines;
mod meter;
mod socket;
mod timed;
mod tunnel;
mod websocket;

pub(crate) use ends::{ClientStream, UpstreamStream};
pub(crate) use frames::{FrameLimits, Frames};
pub(crate) use head_lines::HeadLines;
pub(crate) use meter::{Expired, Meter, Patience};
pub(crate) use socket::{Socket, SocketWatch};
pub(crate) use timed::Timed;
pub(crate) use tunnel::relay;
pub(crate) use websocket::{Framed, GOING_AWAY};
