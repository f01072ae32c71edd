//! Which endpoint a request is sent to: in turn, from a random start, per worker (nginx: round robin of ingress-nginx).

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

use portcullis_model::Endpoint;

use super::Upstream;
use crate::random::Random;

/// Whose turn it is, by upstream. One per worker.
#[derive(Debug, Default)]
pub(crate) struct Balancer {
    turns: RefCell<HashMap<u64, usize>>,
}

/// Upstreams whose turn is remembered. Beyond that all start anew at random, which costs evenness and nothing else.
const REMEMBERED: usize = 16_384;

impl Balancer {
    /// The endpoint whose turn it is; one that is not in `tried` if there is any.
    pub(crate) fn pick(&self, upstream: &Upstream, tried: &[SocketAddr], random: &Random) -> Option<Endpoint> {
        upstream.with_endpoints(|endpoints| {
            let first = self.turn(upstream.number(), endpoints.len(), random)?;
            let (later, sooner) = endpoints.split_at_checked(first)?;
            let mut in_turn = sooner.iter().chain(later);
            in_turn.find(|endpoint| !tried.contains(&endpoint.address)).or(sooner.first()).copied()
        })
    }

    fn turn(&self, upstream: u64, endpoints: usize, random: &Random) -> Option<usize> {
        let mut turns = self.turns.borrow_mut();
        if turns.len() >= REMEMBERED && !turns.contains_key(&upstream) {
            turns.clear();
        }
        let turn = turns.entry(upstream).or_insert_with(|| random.below(endpoints));
        let first = turn.checked_rem(endpoints)?;
        *turn = first + 1;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::super::UpstreamRegistry;
    use super::*;
    use portcullis_model::ClusterId;

    fn picks(endpoints: &[&str], tried: &[&str], count: usize) -> Vec<String> {
        let registry = UpstreamRegistry::default();
        let id = ClusterId { namespace: "n".into(), service: "s".into(), port: "80".into() };
        let upstream = registry.upstream(&id);
        let parse = |text: &&str| text.parse::<SocketAddr>().unwrap();
        let list: Vec<_> = endpoints.iter().map(|text| Endpoint { address: parse(text) }).collect();
        registry.set_endpoints(&id, &list);
        let tried: Vec<_> = tried.iter().map(parse).collect();
        let (balancer, random) = (Balancer::default(), Random::new());
        let pick = |_| balancer.pick(&upstream, &tried, &random).map(|endpoint| endpoint.address.to_string());
        (0..count).filter_map(pick).collect()
    }

    #[test]
    fn endpoints_take_turns() {
        let all = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
        let picked = picks(&all, &[], 6);
        assert_eq!(picked[..3], picked[3..]);
        for endpoint in all {
            assert_eq!(picked.iter().filter(|picked| *picked == endpoint).count(), 2, "{picked:?}");
        }
    }

    #[test]
    fn an_endpoint_is_tried_again_only_when_all_were() {
        assert_eq!(picks(&["10.0.0.1:80", "10.0.0.2:80"], &["10.0.0.1:80"], 2), ["10.0.0.2:80", "10.0.0.2:80"]);
        assert_eq!(picks(&["10.0.0.1:80"], &["10.0.0.1:80"], 1), ["10.0.0.1:80"]);
        assert_eq!(picks(&[], &[], 1), [""; 0]);
    }
}
