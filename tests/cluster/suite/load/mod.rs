//! What holds under load and while parts of the cluster are away; nothing else runs at the same time.

mod components;
mod counting;
mod endpoints;
mod scale;
