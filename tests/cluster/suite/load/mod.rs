//! What holds under load, while parts of the cluster are away, and what concerns the whole cluster; nothing else runs at
//! the same time.

mod components;
mod counting;
mod endpoints;
mod histogram;
mod installation;
mod real_values;
mod scale;
