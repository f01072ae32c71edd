//! What holds under load, while parts of the cluster are away, and what concerns the whole cluster; nothing else runs at
//! the same time.

mod components;
mod counting;
mod endpoints;
mod follow;
mod histogram;
mod http2;
mod installation;
mod leader;
mod real_values;
mod rolling;
mod scale;
mod verbatim;
mod websocket;
