//! The tests in a real Kubernetes. `functional` tests run beside each other; `load` tests run alone, one after the
//! other, as they measure or disturb the whole cluster.

mod functional;
mod load;
