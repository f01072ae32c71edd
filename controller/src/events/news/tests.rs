//! What is said, and when.

use portcullis_translate::Severity;

use super::super::note::testing::reference;
use super::*;

/// What was built, and what is known of its objects.
struct Scene {
    references: Arc<References>,
    published: Published,
    news: News,
}

fn ingress(name: &str) -> ObjectRef {
    ObjectRef::new("Ingress", &ObjectKey::new("shop", name))
}

impl Scene {
    fn new(sync: bool) -> Self {
        let references = Arc::new(References::default());
        let subjects = Subjects { sync, config_maps: vec![ObjectKey::new("gate", "settings")] };
        let news = News::new(references.clone(), subjects);
        Self { references, published: Published::default(), news }
    }

    /// An Ingress is there with this uid and content, and served.
    fn serve(&mut self, name: &str, uid: &str, content: u64) {
        self.references.set(&ingress(name), Some(Reference { content, ..reference(uid) }));
        let key = ObjectKey::new("shop", name);
        let others = self.published.served.iter().filter(|known| **known != key).cloned();
        self.published.served = others.chain([key.clone()]).collect();
    }

    fn find(&mut self, found: &[(&str, &str)]) {
        let finding = |(name, message): &(&str, &str)| {
            let message = (*message).to_owned();
            Finding::error(&ingress(name), "", "test-fault", message, "")
        };
        self.published.findings = found.iter().map(finding).collect();
    }

    fn follow(&mut self) {
        self.news.follow(&self.published);
    }

    /// Reasons, names, whether it is new, sorted.
    fn tell(&mut self) -> Vec<(String, String, bool)> {
        let notes = self.news.tell(&self.published);
        let mut told: Vec<_> = notes
            .into_iter()
            .map(|note| (note.reason.into_owned(), format!("{} {}", note.object.name, note.message), note.fresh))
            .collect();
        told.sort();
        told
    }
}

fn sync(name: &str, fresh: bool) -> (String, String, bool) {
    ("Sync".to_owned(), format!("{name} Scheduled for sync"), fresh)
}

fn fault(text: &str, fresh: bool) -> (String, String, bool) {
    ("TestFault".to_owned(), text.to_owned(), fresh)
}

const NOTHING: [(String, String, bool); 0] = [];

#[tokio::test(start_paused = true)]
async fn an_ingress_is_said_to_be_served_when_it_is_new_or_changed() {
    let mut scene = Scene::new(true);
    scene.serve("a", "1", 1);
    scene.follow();
    assert_eq!(scene.tell(), [sync("a", false)], "it was there before");
    assert_eq!(scene.tell(), NOTHING);
    scene.serve("b", "2", 1);
    assert_eq!(scene.tell(), [sync("b", true)]);
    scene.serve("a", "1", 2);
    assert_eq!(scene.tell(), [sync("a", true)], "changed");
    scene.serve("a", "3", 2);
    assert_eq!(scene.tell(), [sync("a", true)], "created anew");
    scene.references.set(&ingress("b"), Some(Reference { version: "99".into(), ..reference("2") }));
    assert_eq!(scene.tell(), NOTHING, "the server wrote");
    scene.published.served = [].into();
    assert_eq!(scene.tell(), NOTHING);
    scene.serve("a", "3", 2);
    assert_eq!(scene.tell(), [sync("a", true)], "served again");
}

#[tokio::test(start_paused = true)]
async fn a_flag_silences_that_and_nothing_else() {
    let mut scene = Scene::new(false);
    scene.serve("a", "1", 1);
    scene.follow();
    scene.find(&[("a", "bad")]);
    assert_eq!(scene.tell(), [fault("a bad", false)]);
}

#[tokio::test(start_paused = true)]
async fn settings_are_said_to_be_created_and_updated() {
    let mut scene = Scene::new(true);
    let object = ObjectRef::new("ConfigMap", &ObjectKey::new("gate", "settings"));
    let set = |scene: &mut Scene, reference| {
        scene.references.set(&object, reference);
        scene.tell()
    };
    let said = |reason: &str, fresh| [(reason.to_owned(), "settings ConfigMap gate/settings".to_owned(), fresh)];
    assert_eq!(set(&mut scene, None), NOTHING);
    let at = |uid: &str, content| Some(Reference { content, ..reference(uid) });
    assert_eq!(set(&mut scene, at("1", 1)), said("CREATE", true));
    assert_eq!(set(&mut scene, at("1", 2)), said("UPDATE", true));
    assert_eq!(set(&mut scene, at("1", 2)), NOTHING);
    assert_eq!(set(&mut scene, at("2", 2)), said("CREATE", true));
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_says_what_nobody_may_have_said() {
    let mut scene = Scene::new(true);
    scene.serve("old", "1", 1);
    scene.find(&[("old", "bad")]);
    scene.follow();
    tokio::time::sleep(RECENT).await;
    scene.serve("recent", "2", 1);
    scene.follow();
    tokio::time::sleep(RECENT / 2).await;
    assert_eq!(scene.tell(), [sync("recent", false), fault("old bad", false)]);
    assert_eq!(scene.tell(), NOTHING);
    scene.follow();
    tokio::time::sleep(RECENT * 2).await;
    assert_eq!(scene.tell(), [fault("old bad", false)], "it led before, and leads again");
}

#[tokio::test(start_paused = true)]
async fn a_finding_is_said_once_and_again_when_its_object_has_changed() {
    let mut scene = Scene::new(false);
    for name in ["a", "b"] {
        scene.serve(name, name, 1);
    }
    scene.find(&[("a", "bad")]);
    assert_eq!(scene.tell(), [fault("a bad", false)], "it may have been said before");
    scene.find(&[("a", "bad"), ("a", "worse"), ("b", "bad")]);
    assert_eq!(scene.tell(), [fault("a worse", true), fault("b bad", true)]);
    scene.serve("a", "a", 2);
    assert_eq!(scene.tell(), [fault("a bad", true), fault("a worse", true)]);
    scene.find(&[("b", "bad")]);
    assert_eq!(scene.tell(), NOTHING);
    scene.find(&[("a", "bad"), ("b", "bad")]);
    assert_eq!(scene.tell(), [fault("a bad", true)], "it is back");
}

#[tokio::test(start_paused = true)]
async fn what_is_about_no_object_or_no_error_is_not_said() {
    let mut scene = Scene::new(false);
    scene.serve("a", "1", 1);
    let known = ingress("a");
    let of = |severity, object: &ObjectRef| Finding {
        object: object.clone(),
        field: String::new(),
        severity,
        code: "x",
        message: String::new(),
        help: String::new(),
    };
    let file = ObjectRef { kind: "File", namespace: "".into(), name: "a.yaml".into() };
    scene.published.findings = [
        of(Severity::Error, &file),
        of(Severity::Error, &ingress("gone")),
        of(Severity::Warning, &known),
        of(Severity::Info, &known),
    ]
    .into();
    assert_eq!(scene.tell(), NOTHING);
}

#[test]
fn what_still_holds_is_said_part_by_part_each_once_a_round() {
    let mut scene = Scene::new(false);
    let names: Vec<String> = (0..7).map(|number| format!("i{number}")).collect();
    for name in &names {
        scene.serve(name, name, 1);
    }
    for count in [0, 1, 3, 7] {
        let found: Vec<_> = names.iter().take(count).map(|name| (name.as_str(), "bad")).collect();
        scene.find(&found);
        let parts = (0..5).map(|part| scene.news.still_holding(&scene.published, part, 5));
        let parts: Vec<Vec<String>> =
            parts.map(|notes| notes.iter().map(|note| note.object.name.to_string()).collect()).collect();
        assert!(parts.iter().all(|part| part.len() <= count.div_ceil(5)), "{parts:?}");
        assert_eq!(parts.concat(), names[..count]);
    }
}
