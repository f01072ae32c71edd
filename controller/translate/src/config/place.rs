//! Where a setting is written: the ConfigMap, or the parameters of a class that are laid over it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use portcullis_crds::field_name;

use super::key::Entry;
use crate::{ObjectRef, parameters};

/// The object that is read.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) object: &'a ObjectRef,
    /// The ConfigMap that parameters are laid over; none for the ConfigMap itself.
    pub(super) below: Option<Below<'a>>,
}

/// The ConfigMap below parameters.
#[derive(Clone, Copy)]
pub(super) struct Below<'a> {
    pub(super) object: &'a ObjectRef,
    pub(super) data: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Place<'a> {
    /// What a key is called here.
    pub(super) fn name<'k>(&self, key: &'k str) -> Cow<'k, str> {
        if self.below.is_some() { field_name(key).into() } else { key.into() }
    }

    /// The path of something that is called so here.
    pub(super) fn field(&self, name: &str) -> String {
        if self.below.is_some() { parameters::path(name) } else { name.to_owned() }
    }

    /// The path of a key.
    pub(super) fn field_of(&self, entry: &Entry) -> String {
        self.field(&self.name(entry.key.key))
    }

    /// The ConfigMap below this, with what it says under a key; none where it says nothing.
    pub(super) fn below(&self, key: &str) -> Option<(&'a ObjectRef, &'a str)> {
        let Below { object, data } = self.below?;
        Some((object, data?.get(key)?))
    }

    /// What a name is that nothing here has.
    pub(super) fn not_known(&self) -> &'static str {
        if self.below.is_some() {
            "is no field of class parameters, and has no effect"
        } else {
            "is not a key of ingress-nginx, and has no effect"
        }
    }
}
