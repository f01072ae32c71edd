//! The controller of Portcullis: gathers objects, runs the loop from objects to routing table, answers on the admin address.

pub mod admin;
pub mod admission;
pub mod api_server;
pub mod capability;
pub mod dns;
pub mod duties;
pub mod echo;
pub mod events;
pub mod ingress_status;
pub mod instance;
pub mod leader;
pub mod metrics;
pub mod open_files;
pub mod process;
pub mod question;
pub mod reconcile;
pub mod self_signed;
pub mod source;
pub mod status;
pub mod storage;
pub mod successor;
pub mod telemetry;
mod waiting;
pub mod workers;
