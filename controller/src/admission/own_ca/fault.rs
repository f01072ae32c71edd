//! What can be wrong with the two objects, and what users are told of it. No word of it holds a key.

use portcullis_translate::{Finding, ObjectKey, ObjectRef};

use super::{Names, StoreError};

pub(super) const SECRET: &str = "Secret";
pub(super) const CONFIGURATION: &str = "ValidatingWebhookConfiguration";

const ROLE: &str = "check the role of the controller";

/// Why a look did not end well.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// Nothing is wrong: the leader has not made it yet.
    Missing,
    /// Somebody wrote at the same time.
    Conflict,
    /// The API server fails or refuses, asked for an object of this kind.
    Failed { kind: &'static str, reason: String },
    /// The Secret cannot be used as it is.
    Secret(String),
    /// Nor can the configuration; what to do about it.
    Configuration(String, &'static str),
}

impl Fault {
    /// What a request for an object of this kind led to.
    pub(super) fn of(kind: &'static str, error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::Conflict,
            StoreError::Failed(reason) => Self::Failed { kind, reason },
        }
    }

    /// Whether it may be gone the next time without anybody's doing.
    pub(super) fn is_usual(&self) -> bool {
        matches!(self, Self::Missing | Self::Conflict | Self::Failed { .. })
    }

    /// What users are told; `serving` says whether there is a certificate all the same.
    pub(super) fn finding(&self, names: &Names, serving: bool) -> Option<Finding> {
        let (kind, reason, help) = match self {
            Self::Missing => return None,
            Self::Conflict => (SECRET, "others keep writing it at the same time", ""),
            Self::Failed { kind, reason } => (*kind, reason.as_str(), ROLE),
            Self::Secret(reason) => (SECRET, reason.as_str(), "delete it, and the controller makes a new one"),
            Self::Configuration(reason, help) => (CONFIGURATION, reason.as_str(), *help),
        };
        let object = match kind {
            SECRET => ObjectRef::new(SECRET, &names.secret),
            _ => ObjectRef::new(CONFIGURATION, &ObjectKey::new("", &names.configuration)),
        };
        let what = if serving { "the one in use stays" } else { "the webhook answers nobody" };
        let message = format!("the certificate of the webhook cannot be looked after: {reason}; {what}");
        Some(Finding::error(&object, "", "webhook-certificate", message, help))
    }
}
