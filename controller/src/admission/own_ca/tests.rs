//! Keepers over a store in memory, with a clock that stands still between events; and a handshake with what they keep.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::ByteString;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, advance};
use tokio_rustls::TlsConnector;

use super::*;
use crate::admission::{Config, Counts, Source, Webhook, queue};
use crate::api_server::testing::Server;

const DAY: Duration = Duration::from_secs(86_400);

thread_local! {
    static BEGUN: (Instant, SystemTime) = (Instant::now(), SystemTime::now());
}

/// The time of day by the clock that stands still.
fn now() -> SystemTime {
    BEGUN.with(|(instant, time)| *time + instant.elapsed())
}

/// Both objects, as several replicas share them.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    secret: Option<Secret>,
    configuration: Option<DynamicObject>,
    version: u64,
    /// What was written.
    writes: Vec<&'static str>,
    refuses: bool,
}

impl Shared {
    /// With a configuration whose webhooks are those of this Service.
    fn of(service: &str) -> Self {
        let shared = Self::default();
        shared.configure(service);
        shared
    }

    fn configure(&self, service: &str) {
        let client = json!({ "service": { "name": service, "namespace": "n", "port": 443 }, "ofTomorrow": 1 });
        let webhooks = json!([{ "name": "a", "clientConfig": client }, { "name": "b", "clientConfig": client }]);
        let configuration = json!({ "metadata": { "name": "w", "resourceVersion": "0" }, "webhooks": webhooks });
        self.0.lock().unwrap().configuration = Some(serde_json::from_value(configuration).unwrap());
    }

    fn entry(&self, name: &str) -> String {
        let state = self.0.lock().unwrap();
        let data = state.secret.as_ref().unwrap().data.as_ref().unwrap();
        String::from_utf8(data[name].0.clone()).unwrap()
    }

    fn pair(&self) -> Pair {
        Pair::of(self.0.lock().unwrap().secret.as_ref().unwrap()).unwrap()
    }

    /// The CA of each webhook.
    fn told(&self) -> Vec<Option<String>> {
        let state = self.0.lock().unwrap();
        let webhooks = state.configuration.as_ref().unwrap().data["webhooks"].as_array().unwrap().clone();
        let bundle = |webhook: &Value| -> Option<String> {
            assert_eq!(webhook["clientConfig"]["ofTomorrow"], 1, "what is not known stays");
            let ByteString(octets) = serde_json::from_value(webhook["clientConfig"].get("caBundle")?.clone()).unwrap();
            Some(String::from_utf8(octets).unwrap())
        };
        webhooks.iter().map(bundle).collect()
    }

    fn tells(&self, pair: &Pair) -> bool {
        self.told().iter().all(|told| told.as_ref().is_some_and(|told| told.as_bytes() == pair.ca))
    }

    fn edit(&self, edit: impl FnOnce(&mut Secret)) {
        edit(self.0.lock().unwrap().secret.as_mut().unwrap());
    }

    /// A Secret of somebody else: three entries, no label.
    fn put_foreign(&self, pair: &Pair) {
        let mut secret = Secret::default();
        pair.clone().put_into(&mut secret);
        secret.data.as_mut().unwrap().remove("ca-key");
        self.0.lock().unwrap().secret = Some(secret);
    }

    fn writes(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap().writes)
    }

    fn refuse(&self, refuses: bool) {
        self.0.lock().unwrap().refuses = refuses;
    }

    async fn answer<T>(&self, answer: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // Others come between a read and the write that follows from it.
        tokio::task::yield_now().await;
        let mut state = self.0.lock().unwrap();
        if state.refuses { Err(StoreError::Failed("refused".to_owned())) } else { answer(&mut state) }
    }
}

impl State {
    fn keep(&mut self, secret: &Secret) -> Secret {
        self.version += 1;
        let mut secret = secret.clone();
        secret.metadata.resource_version = Some(self.version.to_string());
        self.secret = Some(secret.clone());
        secret
    }
}

impl Store for Shared {
    async fn secret(&self) -> Result<Option<Secret>, StoreError> {
        self.answer(|state| Ok(state.secret.clone())).await
    }

    async fn create_secret(&self, secret: &Secret) -> Result<Secret, StoreError> {
        let create = |state: &mut State| {
            if state.secret.is_some() {
                return Err(StoreError::Conflict);
            }
            state.writes.push("create");
            Ok(state.keep(secret))
        };
        self.answer(create).await
    }

    async fn replace_secret(&self, secret: &Secret) -> Result<Secret, StoreError> {
        let replace = |state: &mut State| {
            let current = state.secret.as_ref().ok_or(StoreError::Conflict)?;
            if current.metadata.resource_version != secret.metadata.resource_version {
                return Err(StoreError::Conflict);
            }
            state.writes.push("replace");
            Ok(state.keep(secret))
        };
        self.answer(replace).await
    }

    async fn configuration(&self) -> Result<Option<DynamicObject>, StoreError> {
        self.answer(|state| Ok(state.configuration.clone())).await
    }

    async fn replace_configuration(&self, new: &DynamicObject) -> Result<(), StoreError> {
        let replace = |state: &mut State| {
            let current = state.configuration.as_ref().ok_or(StoreError::Conflict)?;
            if current.metadata.resource_version != new.metadata.resource_version {
                return Err(StoreError::Conflict);
            }
            state.version += 1;
            let mut new = new.clone();
            new.metadata.resource_version = Some(state.version.to_string());
            state.configuration = Some(new);
            state.writes.push("tell");
            Ok(())
        };
        self.answer(replace).await
    }
}

#[derive(Debug, Default)]
struct Bell(AtomicUsize);

impl Inbox for Bell {
    fn nudge(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn close(&self) {}
}

fn names() -> Names {
    Names { secret: ObjectKey::new("n", "s"), configuration: "w".to_owned() }
}

fn keeper(shared: &Shared, leads: bool) -> (Keeper<Shared>, watch::Sender<bool>) {
    let leading = watch::Sender::new(leads);
    let mut keeper = Keeper::new(shared.clone(), names(), leading.subscribe(), Arc::new(Bell::default()));
    keeper.clock = now;
    (keeper, leading)
}

impl Keeper<Shared> {
    /// Looks once, and says what is wrong.
    async fn look_and_note(&mut self) -> Vec<Finding> {
        let looked = self.look().await;
        self.note(looked);
        self.findings.borrow().clone()
    }
}

fn service(name: &str) -> Vec<String> {
    vec![format!("{name}.n.svc")]
}

#[tokio::test(start_paused = true)]
async fn two_that_lead_at_the_same_time_create_one_secret() {
    let shared = Shared::of("gate");
    let ((mut one, _leads), (mut other, _leads_too)) = (keeper(&shared, true), keeper(&shared, true));
    let (first, second) = tokio::join!(one.look(), other.look());
    assert_eq!((first, second), (Ok(()), Ok(())));
    let writes = shared.writes();
    assert_eq!(writes.iter().filter(|write| **write == "create").count(), 1, "{writes:?}");
    assert!(!writes.contains(&"replace"));
    let pair = shared.pair();
    assert_eq!((one.used.as_ref(), other.used.as_ref()), (Some(&pair), Some(&pair)));
    assert!(shared.tells(&pair));
    for keeper in [&mut one, &mut other] {
        assert_eq!(keeper.look().await, Ok(()));
    }
    assert_eq!(shared.writes(), [""; 0], "nothing is written twice");
}

#[tokio::test(start_paused = true)]
async fn a_follower_waits_for_the_leader_and_writes_nothing() {
    let shared = Shared::of("gate");
    let (follower, leading) = keeper(&shared, false);
    let kept = follower.kept();
    let following = tokio::spawn(follower.run());
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(kept.current.borrow().is_none());
    assert!(kept.findings.borrow().is_empty(), "nothing is wrong");
    let (mut leader, _leads) = keeper(&shared, true);
    leader.look().await.unwrap();
    assert_eq!(shared.writes(), ["create", "tell"]);
    tokio::time::sleep(LOOK_FOR_FIRST).await;
    assert!(kept.current.borrow().is_some());
    assert_eq!(shared.writes(), [""; 0]);
    // The leader has gone, and so has the CA in the configuration.
    shared.configure("gate");
    leading.send_replace(true);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(shared.writes(), ["tell"], "it takes over at once");
    following.abort();
}

#[tokio::test(start_paused = true)]
async fn the_certificate_is_renewed_at_two_thirds_of_its_life_and_its_ca_stays() {
    let shared = Shared::of("gate");
    let (mut leader, _leads) = keeper(&shared, true);
    leader.look().await.unwrap();
    let (first, ca_key) = (shared.pair(), shared.entry("ca-key"));
    shared.edit(|secret| drop(secret.data.as_mut().unwrap().insert("further".to_owned(), ByteString(vec![1]))));
    shared.writes();
    advance(DAY * 243).await;
    leader.look().await.unwrap();
    assert_eq!((shared.writes().len(), shared.pair() == first), (0, true));
    advance(DAY).await;
    let (mut follower, _follows) = keeper(&shared, false);
    follower.look().await.unwrap();
    assert!(shared.writes().is_empty(), "that is the leader's");
    leader.look().await.unwrap();
    assert_eq!(shared.writes(), ["replace"]);
    let second = shared.pair();
    assert!(second.certificate != first.certificate && second.key != first.key);
    assert_eq!((&second.ca, shared.entry("ca-key")), (&first.ca, ca_key));
    assert_eq!(shared.entry("further"), "\u{1}");
    assert_eq!((leader.used.as_ref(), second.check(&service("gate"), now())), (Some(&second), Ok(())));
}

#[test]
fn a_ca_that_is_renewed_stands_for_the_former_one() {
    let (begin, services) = (SystemTime::now(), service("gate"));
    let first = Pair::make(None, &services, begin).unwrap();
    let before = Pair::make(Some(&first), &services, begin + DAY * 2430).unwrap();
    assert_eq!(before.ca, first.ca);
    let day = begin + DAY * 2440;
    let after = Pair::make(Some(&before), &services, day).unwrap();
    assert_ne!(after.ca, first.ca);
    for (ca, leaf) in [(&after, &before), (&before, &after), (&after, &after)] {
        assert_eq!(Pair { ca: ca.ca.clone(), ..leaf.clone() }.check(&services, day), Ok(()));
    }
    let stranger = Pair::make(None, &services, day).unwrap();
    assert!(Pair { ca: stranger.ca, ..after }.check(&services, day).is_err(), "the name alone is not enough");
}

#[test]
fn what_nobody_would_take_does_not_pass() {
    let (begin, services) = (SystemTime::now(), service("gate"));
    let pair = Pair::make(None, &services, begin).unwrap();
    let other = Pair::make(None, &services, begin).unwrap();
    let none = b"nonsense".to_vec();
    for (case, broken, services, day) in [
        ("another's key", Pair { key: other.key.clone(), ..pair.clone() }, &services, 0),
        ("another's CA", Pair { ca: other.ca, ..pair.clone() }, &services, 0),
        ("no CA", Pair { ca: none.clone(), ..pair.clone() }, &services, 0),
        ("no certificate", Pair { certificate: none.clone(), ..pair.clone() }, &services, 0),
        ("no key", Pair { key: none, ..pair.clone() }, &services, 0),
        ("over", pair.clone(), &services, 366),
        ("another's name", pair.clone(), &service("port"), 0),
    ] {
        assert!(broken.check(services, begin + DAY * day).is_err(), "{case}");
    }
    assert_eq!(pair.check(&services, begin + DAY * 364), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_secret_of_somebody_else_is_used_and_never_written() {
    let shared = Shared::of("gate");
    let pair = Pair::make(None, &service("gate"), now()).unwrap();
    shared.put_foreign(&pair);
    let (mut leader, _leads) = keeper(&shared, true);
    assert_eq!(leader.look_and_note().await, []);
    assert_eq!(shared.writes(), ["tell"]);
    assert!(leader.current.borrow().is_some() && shared.tells(&pair));
    advance(DAY * 300).await;
    assert_eq!(leader.look_and_note().await, [], "its renewal is not ours");
    advance(DAY * 70).await;
    let findings = leader.look_and_note().await;
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].object.kind, &*findings[0].object.name), ("Secret", "s"));
    assert!(leader.current.borrow().is_some());
    // A CA that the certificate is not of would shut out one that may be good.
    shared.put_foreign(&Pair { ca: Pair::make(None, &service("gate"), now()).unwrap().ca, ..pair.clone() });
    assert_eq!(leader.look_and_note().await.len(), 1);
    assert_eq!(shared.writes(), [""; 0]);
    // Its owner repairs it.
    shared.put_foreign(&Pair::make(None, &service("gate"), now()).unwrap());
    assert_eq!(leader.look_and_note().await, []);
    assert_eq!((shared.writes(), leader.used.as_ref()), (vec!["tell"], Some(&Pair { ..shared.pair() })));
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_is_made_anew_by_the_leader_where_it_is_ours() {
    type Breaker = fn(&mut BTreeMap<String, ByteString>);
    let breakers: [(&str, Breaker); 4] = [
        ("no key", |data| drop(data.remove("key"))),
        ("nothing", BTreeMap::clear),
        ("no certificate", |data| drop(data.insert("cert".to_owned(), ByteString(b"x".to_vec())))),
        ("no CA", |data| drop(data.insert("ca".to_owned(), ByteString(vec![0xff])))),
    ];
    for (case, breaker) in breakers {
        for ours in [true, false] {
            let shared = Shared::of("gate");
            let (mut leader, leading) = keeper(&shared, true);
            leader.look().await.unwrap();
            shared.writes();
            shared.edit(|secret| {
                breaker(secret.data.as_mut().unwrap());
                if !ours {
                    secret.metadata.labels = Some([(MANAGED_BY.to_owned(), "Helm".to_owned())].into());
                }
            });
            leading.send_replace(false);
            let findings = leader.look_and_note().await;
            assert_eq!(findings.is_empty(), ours || case == "no CA", "{case}: {findings:?}");
            leading.send_replace(true);
            let findings = leader.look_and_note().await;
            assert_eq!((findings.is_empty(), shared.writes().contains(&"replace")), (ours, ours), "{case}");
            assert!(leader.current.borrow().is_some(), "{case}: serving goes on");
            if ours {
                assert_eq!(shared.pair().check(&service("gate"), now()), Ok(()), "{case}");
                assert!(shared.tells(&shared.pair()), "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_service_gets_another_certificate_of_the_same_ca() {
    let shared = Shared::of("gate");
    let (mut leader, _leads) = keeper(&shared, true);
    leader.look().await.unwrap();
    let first = shared.pair();
    shared.configure("port");
    leader.look().await.unwrap();
    let second = shared.pair();
    assert_eq!(second.ca, first.ca);
    assert_eq!(second.check(&service("port"), now()), Ok(()));
    assert!(second.check(&service("gate"), now()).is_err());
}

#[tokio::test(start_paused = true)]
async fn faults_are_findings_once_they_last_and_serving_goes_on() {
    let shared = Shared::of("gate");
    let (leader, _leads) = keeper(&shared, true);
    let kept = leader.kept();
    shared.refuse(true);
    let leading = tokio::spawn(leader.run());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(kept.findings.borrow().is_empty(), "a server may be replaced");
    tokio::time::sleep(Duration::from_secs(20)).await;
    let said = kept.findings.borrow()[0].to_string();
    assert!(said.contains("refused") && said.contains("the webhook answers nobody"), "{said}");
    shared.refuse(false);
    tokio::time::sleep(LOOK_FOR_FIRST).await;
    assert!(kept.findings.borrow().is_empty() && kept.current.borrow().is_some());
    shared.0.lock().unwrap().configuration = None;
    tokio::time::sleep(LOOK_EVERY * 2).await;
    let said = kept.findings.borrow()[0].to_string();
    assert!(said.contains("ValidatingWebhookConfiguration w") && said.contains("the one in use stays"), "{said}");
    assert!(!leading.is_finished() && kept.current.borrow().is_some());
    leading.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_logged_or_told_holds_a_key() {
    let shared = Shared::of("gate");
    let (mut leader, _leads) = keeper(&shared, true);
    leader.look().await.unwrap();
    let secrets = [shared.entry("key"), shared.entry("ca-key")];
    let middles: Vec<&str> = secrets.iter().map(|pem| pem.lines().nth(1).unwrap()).collect();
    let pair = shared.pair();
    shared.put_foreign(&Pair { key: [b"-----BEGIN ", pair.key.as_slice()].concat(), ..pair.clone() });
    let told = format!("{:?} {:?} {pair:?} {:?}", leader.look().await, leader.look_and_note().await, leader.used);
    for middle in middles {
        assert!(!told.contains(middle), "{told}");
    }
}

#[tokio::test]
async fn the_api_server_shakes_hands_with_what_the_configuration_says() {
    let shared = Shared::of("gate");
    let (mut leader, _leads) = keeper(&shared, true);
    let config = Config { addresses: vec!["127.0.0.1:0".parse().unwrap()], certificate: Source::Own(leader.kept()) };
    let webhook = Webhook::bind(config).await.unwrap();
    let address = webhook.address().unwrap();
    let (asker, _reviews) = queue(Arc::new(Bell::default()));
    tokio::spawn(webhook.serve(asker, Arc::new(Counts::default())));
    leader.look().await.unwrap();
    let told = shared.told()[0].clone().unwrap();
    let stranger = String::from_utf8(Pair::make(None, &service("gate"), now()).unwrap().ca).unwrap();
    for (ca, name, good) in [
        (&told, "gate.n.svc", true),
        (&told, "gate", true),
        (&told, "gate.n", true),
        (&told, "gate.n.svc.cluster.local", true),
        (&told, "port.n.svc", false),
        (&stranger, "gate.n.svc", false),
    ] {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        let shaken = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await;
        assert_eq!(shaken.is_ok(), good, "{name:?}: {:?}", shaken.err());
    }
}

#[tokio::test]
async fn objects_are_read_and_written_by_name_alone() {
    const SECRET: &str = "/api/v1/namespaces/n/secrets/s";
    const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/w";
    let (server, client) = Server::start();
    let service = json!({ "service": { "name": "gate", "namespace": "n" }, "ofTomorrow": true });
    server.put(
        CONFIGURATION,
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": "w" }, "webhooks": [{ "name": "a", "clientConfig": service, "failurePolicy": "Fail" }],
        }),
    );
    let leading = watch::Sender::new(true);
    let store = ApiStore::new(&client, &names().secret, "w");
    let mut keeper = Keeper::new(store.clone(), names(), leading.subscribe(), Arc::new(Bell::default()));
    assert_eq!(keeper.look().await, Ok(()));
    let asked = [
        format!("GET {CONFIGURATION}"),
        format!("GET {SECRET}"),
        "POST /api/v1/namespaces/n/secrets".to_owned(),
        format!("PUT {CONFIGURATION}"),
    ];
    assert_eq!(server.requests(), asked);
    let secret = server.get(SECRET).unwrap();
    assert_eq!(secret["metadata"]["labels"], json!({ MANAGED_BY: "portcullis" }));
    let webhook = &server.get(CONFIGURATION).unwrap()["webhooks"][0];
    assert_eq!((&webhook["clientConfig"]["ofTomorrow"], &webhook["failurePolicy"]), (&json!(true), &json!("Fail")));
    assert_eq!(webhook["clientConfig"]["caBundle"], secret["data"]["ca"]);

    let mut read = store.secret().await.unwrap().unwrap();
    store.replace_secret(&read).await.unwrap();
    assert_eq!(store.replace_secret(&read).await, Err(StoreError::Conflict), "it is no longer that version");
    assert_eq!(store.create_secret(&read).await, Err(StoreError::Conflict));
    read.metadata.resource_version = None;
    server.fail_next(403);
    assert!(matches!(store.create_secret(&read).await, Err(StoreError::Failed(_))));
    server.fail_next(404);
    assert!(matches!(store.create_secret(&read).await, Err(StoreError::Failed(_))), "its namespace is missing");
    server.fail_next(403);
    assert!(matches!(keeper.look().await, Err(Fault::Failed { kind: "ValidatingWebhookConfiguration", .. })));
}
