//! Values of settings that are words, or a word or a number.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
        pub enum $name { $($(#[$word_doc])* #[serde(rename = $word)] $variant,)* }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": [$($word),*] })
            }
        }
    )*};
}

words! {
    /// A version of HTTP to upstreams.
    HttpVersion {
        /// 1.0
        Http10 = "1.0",
        /// 1.1
        Http11 = "1.1",
    }

    /// How an endpoint is chosen.
    LoadBalance {
        /// One after the other.
        RoundRobin = "round_robin",
        /// The one that answers sooner, of two drawn.
        Ewma = "ewma",
    }

    /// How much harm an annotation may do.
    RiskLevel {
        /// Little.
        Low = "Low",
        /// Some.
        Medium = "Medium",
        /// Much.
        High = "High",
        /// Anything.
        Critical = "Critical",
    }

    /// A version of TLS.
    TlsVersion {
        /// 1.2
        Tls12 = "TLSv1.2",
        /// 1.3
        Tls13 = "TLSv1.3",
    }

    /// When a request is sent to another endpoint.
    RetryWord {
        /// No connection, or one that ended before a response head.
        Error = "error",
        /// No connection or no response in time.
        Timeout = "timeout",
        /// A response head that is malformed or too large.
        InvalidHeader = "invalid_header",
        /// Status 500.
        Http500 = "http_500",
        /// Status 502.
        Http502 = "http_502",
        /// Status 503.
        Http503 = "http_503",
        /// Status 504.
        Http504 = "http_504",
        /// Status 403.
        Http403 = "http_403",
        /// Status 404.
        Http404 = "http_404",
        /// Status 429.
        Http429 = "http_429",
        /// Also where the request may have been acted on.
        NonIdempotent = "non_idempotent",
        /// Never.
        Off = "off",
    }
}

/// A number of threads, or `auto`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Workers {
    /// So many.
    Count(i64),
    /// `auto`.
    Text(String),
}

impl JsonSchema for Workers {
    fn schema_name() -> Cow<'static, str> {
        "Workers".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true })
    }
}
