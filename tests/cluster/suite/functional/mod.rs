//! What works in a cluster; each test in a namespace of its own.

mod backends;
mod conformance;
mod events;
mod parameters;
mod shop;
mod streams;
mod tutorial;
