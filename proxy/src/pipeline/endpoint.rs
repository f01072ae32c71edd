//! By what the endpoint for a request is chosen: what the policy of its upstream asks of the request head.

use std::sync::Arc;

use http::HeaderValue;
use portcullis_model::{Affinity, Balance, ClusterPolicy};

use super::Destination;
use super::exchange::Exchange;
use super::session::{self, Given, SessionKey};
use super::variables::Variables;
use crate::table::CompiledRoute;
use crate::upstream::{Choice, Session, hash};

/// How the endpoint of a request is chosen that goes to this upstream of its route.
pub(super) fn choice(route: Option<&CompiledRoute>, to: Destination, variables: &Variables<'_>) -> Choice {
    route.and_then(|route| policy(route, to)).map_or(Choice::RoundRobin, |policy| by_policy(policy, variables))
}

#[inline(never)]
fn by_policy(policy: &ClusterPolicy, variables: &Variables<'_>) -> Choice {
    let ClusterPolicy { balance, affinity } = policy;
    if let Some(Affinity { mode, cookie, change_on_failure }) = affinity {
        let key = SessionKey::read(variables.head.headers, &cookie.name).map(|key| key.endpoint);
        return Choice::Session(Box::new(Session::new(*mode, *change_on_failure, key)));
    }
    match balance {
        Balance::RoundRobin => Choice::RoundRobin,
        Balance::Ewma => Choice::Ewma,
        Balance::Hash { key, subset } => {
            Choice::Hash { hash: hash(&variables.expand(key, &[&[]; 10])), subset: *subset }
        }
    }
}

/// The policy of an upstream of the route; none where its endpoints simply take turns. Fallback and default backend are no
/// backend of the rule, so its policies are not theirs.
pub(super) fn policy(route: &CompiledRoute, to: Destination) -> Option<&Arc<ClusterPolicy>> {
    match to {
        Destination::Primary => route.balance.as_ref(),
        Destination::Canary => route.canary_balance.as_ref(),
        Destination::Fallback | Destination::DefaultBackend => None,
    }
}

/// The cookie that the client gets with the response: where its session is new, or has moved, and the route is of an Ingress that
/// asks for sessions.
/// `misreads_none`: see [`session::misreads_none`].
pub(super) fn new_session(exchange: &Exchange, misreads_none: bool) -> Option<HeaderValue> {
    let Choice::Session(session) = &exchange.choice else { return None };
    let route = exchange.route.as_ref().filter(|route| route.route.policy.session)?;
    let affinity = policy(route, exchange.to?)?.affinity.as_ref()?;
    let given = Given {
        key: &session.given()?,
        backend_key: exchange.upstream()?.backend_key(),
        rule_path: &route.route.source.path,
        tls: exchange.connection().facts().tls,
        misreads_none,
        now: session::now(),
    };
    session::set_cookie(affinity, given)
}
