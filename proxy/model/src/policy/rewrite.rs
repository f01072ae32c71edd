//! The path an upstream sees.

use std::sync::Arc;

use serde::Serialize;

use crate::{Pattern, Template};

/// `rewrite-target` with what belongs to it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Rewrite {
    /// Searched in the canonical path, anywhere, ignoring case: the path of the rule.
    pub search: Arc<Pattern>,
    /// Replaces the whole path; groups and variables are filled in. A URL makes a 302 instead.
    pub target: Template,
    /// `x-forwarded-prefix`: sent as `X-Forwarded-Prefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_prefix: Option<Template>,
}

impl Rewrite {
    /// Whether the target is a URL, which clients are sent to with 302.
    #[must_use]
    pub fn is_redirect(&self) -> bool {
        let starts = |scheme: &str| match self.target.parts().first() {
            Some(crate::Part::Literal(text)) => text.starts_with(scheme),
            _ => false,
        };
        starts("http://") || starts("https://")
    }
}
