//! Files and folders that change, break and vanish.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;

fn service(name: &str, port: u16) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - port: {port}\n")
}

/// Services as `name:port`.
fn services(source: &FileSource) -> Vec<String> {
    let port =
        |service: &k8s_openapi::api::core::v1::Service| service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0].port;
    source.resources().services.iter().map(|(key, object)| format!("{}:{}", key.name, port(&object.value))).collect()
}

fn codes(source: &FileSource) -> Vec<&'static str> {
    source.findings().iter().map(|finding| finding.code).collect()
}

struct Folder {
    dir: TempDir,
}

impl Folder {
    fn new(files: &[(&str, String)]) -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("m")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self) -> FileSource {
        FileSource::read(&[self.path()]).unwrap()
    }
}

fn everything() -> ChangeSet {
    ChangeSet { paths: BTreeSet::new(), everything: true }
}

fn only(path: PathBuf) -> ChangeSet {
    ChangeSet { paths: BTreeSet::from([path]), everything: false }
}

#[test]
fn folders_are_read_to_the_bottom_and_other_files_passed_over() {
    let folder = Folder::new(&[
        ("a.yaml", service("a", 1)),
        ("deep/er/b.yml", service("b", 2)),
        (
            "c.json",
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"c"},"spec":{"ports":[{"port":3}]}}"#.to_owned(),
        ),
        (".hidden.yaml", service("hidden", 4)),
        (".git/x.yaml", service("git", 5)),
        ("README.md", "not: [yaml".to_owned()),
        ("d.yaml~", service("backup", 6)),
    ]);
    let source = folder.read();
    assert_eq!(services(&source), ["a:1", "b:2", "c:3"]);
    assert_eq!(source.findings(), []);
}

#[test]
fn a_broken_file_keeps_the_objects_of_its_last_good_version() {
    let folder = Folder::new(&[("a.yaml", service("a", 1) + "---\n" + &service("b", 2)), ("z.yaml", service("z", 9))]);
    let mut source = folder.read();
    let path = folder.write("a.yaml", &(service("a", 7) + "---\nkind: [\n"));
    assert_eq!(source.refresh(&only(path.clone())), Refresh { files: 1, changed: false });
    assert_eq!(services(&source), ["a:1", "b:2", "z:9"]);
    let findings = source.findings();
    assert_eq!((findings.len(), findings[0].code), (1, "invalid-yaml"));
    assert!(findings[0].message.ends_with(KEPT), "{}", findings[0]);

    folder.write("a.yaml", &service("a", 7));
    assert_eq!(source.refresh(&only(path)), Refresh { files: 1, changed: true });
    assert_eq!(services(&source), ["a:7", "z:9"]);
    assert_eq!(source.findings(), []);
}

#[test]
fn a_file_that_is_broken_from_the_start_gives_what_can_be_read() {
    let folder = Folder::new(&[("a.yaml", service("a", 1) + "---\nkind: [\n"), ("b.yaml", service("b", 2))]);
    let mut source = folder.read();
    assert_eq!(services(&source), ["a:1", "b:2"]);
    let path = folder.write("a.yaml", &(service("c", 3) + "---\nkind: [[\n"));
    source.refresh(&only(path));
    assert_eq!(services(&source), ["b:2", "c:3"]);
}

#[test]
fn an_object_of_a_wrong_type_keeps_its_last_good_version_alone() {
    let folder = Folder::new(&[("a.yaml", service("a", 1) + "---\n" + &service("b", 2))]);
    let mut source = folder.read();
    let path = folder.write("a.yaml", &(service("a", 1).replace("port: 1", "port: [1]") + "---\n" + &service("b", 3)));
    source.refresh(&only(path.clone()));
    assert_eq!(services(&source), ["a:1", "b:3"]);
    assert!(source.findings()[0].message.ends_with("; the last good version of the object is served"));

    folder.write("a.yaml", &service("b", 3));
    source.refresh(&only(path));
    assert_eq!(services(&source), ["b:3"]);
}

#[test]
fn of_two_declarations_the_first_in_the_order_of_paths_wins() {
    let folder = Folder::new(&[("b.yaml", service("x", 2)), ("a.yaml", service("x", 1)), ("c.yaml", service("x", 1))]);
    let mut source = folder.read();
    assert_eq!(services(&source), ["x:1"]);
    let findings = source.findings();
    assert_eq!(codes(&source), ["duplicate-object"], "an equal declaration is no matter");
    assert!(findings[0].message.contains("a.yaml:1") && findings[0].message.contains("b.yaml:1"), "{}", findings[0]);

    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    assert_eq!(source.refresh(&only(folder.path().join("a.yaml"))), Refresh { files: 1, changed: true });
    assert_eq!(services(&source), ["x:2"]);
}

#[test]
fn a_reread_without_change_says_so() {
    let folder = Folder::new(&[("a.yaml", service("a", 1))]);
    let mut source = folder.read();
    let path = folder.write("a.yaml", &service("a", 1));
    assert_eq!(source.refresh(&only(path.clone())), Refresh { files: 1, changed: false });
    assert_eq!(source.refresh(&only(path)), Refresh::default(), "nothing happened to it");
}

#[test]
fn config_map_volumes_are_read_once_and_their_swap_is_seen() {
    let folder = Folder::new(&[("..v1/a.yaml", service("a", 1)), ("..v2/a.yaml", service("a", 2))]);
    symlink("..v1", folder.path().join("..data")).unwrap();
    symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
    let mut source = folder.read();
    assert_eq!(services(&source), ["a:1"]);
    assert_eq!(source.findings(), []);
    symlink("..v2", folder.path().join("..data_tmp")).unwrap();
    fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    assert_eq!(source.refresh(&only(folder.path().join("..data"))), Refresh { files: 1, changed: true });
    assert_eq!(services(&source), ["a:2"]);
}

#[test]
fn loops_of_links_end() {
    let folder = Folder::new(&[("a.yaml", service("a", 1)), ("deep/b.yaml", service("b", 2))]);
    symlink("..", folder.path().join("deep/up")).unwrap();
    symlink("self.yaml", folder.path().join("self.yaml")).unwrap();
    symlink("nowhere.yaml", folder.path().join("dangling.yaml")).unwrap();
    assert_eq!(services(&folder.read()), ["a:1", "b:2"]);
}

#[test]
fn what_cannot_be_read_is_a_finding_and_nothing_else_is_lost() {
    let folder = Folder::new(&[("a.yaml", service("a", 1)), ("b.yaml", service("b", 2))]);
    fs::write(folder.path().join("c.yaml"), [b'a', b'\n', 0xff]).unwrap();
    let mut source = folder.read();
    assert_eq!(services(&source), ["a:1", "b:2"]);
    assert_eq!(codes(&source), ["invalid-utf8"]);
    let mut bytes = service("a", 1).into_bytes();
    bytes.push(0xff);
    fs::write(folder.path().join("a.yaml"), bytes).unwrap();
    source.refresh(&everything());
    assert_eq!(services(&source), ["a:1", "b:2"], "the last good version");
}

#[test]
fn a_missing_path_is_an_error_and_a_vanished_one_a_finding() {
    let folder = Folder::new(&[("a.yaml", service("a", 1))]);
    let missing = folder.dir.path().join("missing");
    assert!(FileSource::read(&[folder.path(), missing]).is_err());

    let mut source = folder.read();
    fs::rename(folder.path(), folder.dir.path().join("away")).unwrap();
    assert_eq!(source.refresh(&only(folder.path())), Refresh::default());
    assert_eq!(services(&source), ["a:1"]);
    assert_eq!(codes(&source), ["missing-path"]);
    folder.write("a.yaml", &service("a", 2));
    source.refresh(&only(folder.path()));
    assert_eq!(services(&source), ["a:2"]);
    assert_eq!(source.findings(), []);
}

/// Follows changes as the loop does, until the Services are as wanted.
fn wait_for(source: &mut FileSource, changes: &Changes, want: &[&str]) -> Duration {
    let begin = Instant::now();
    while services(source) != want {
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?} instead of {want:?}", services(source));
        source.refresh(&changes.wait().unwrap());
    }
    begin.elapsed()
}

#[test]
fn every_way_of_changing_a_file_is_seen() {
    let folder =
        Folder::new(&[("a.yaml", service("a", 1)), ("..v1/k.yaml", service("k", 1)), ("..v2/k.yaml", service("k", 2))]);
    symlink("..v1", folder.path().join("..data")).unwrap();
    symlink("..data/k.yaml", folder.path().join("k.yaml")).unwrap();
    let changes = Arc::new(Changes::default());
    let mut source = FileSource::watch(&[folder.path()], changes.clone()).unwrap();
    let mut see = |want: &[&str]| {
        let took = wait_for(&mut source, &changes, want);
        assert!(took < Duration::from_millis(500), "{want:?} took {took:?}");
    };
    see(&["a:1", "k:1"]);
    folder.write("a.yaml", &service("a", 2));
    see(&["a:2", "k:1"]);
    let staged = folder.dir.path().join("staged");
    fs::write(&staged, service("a", 3)).unwrap();
    fs::rename(&staged, folder.path().join("a.yaml")).unwrap();
    see(&["a:3", "k:1"]);
    folder.write("new/b.yaml", &service("b", 1));
    see(&["a:3", "b:1", "k:1"]);
    folder.write("new/b.yaml", &service("b", 2));
    see(&["a:3", "b:2", "k:1"]);
    symlink("..v2", folder.path().join("..data_tmp")).unwrap();
    fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    see(&["a:3", "b:2", "k:2"]);
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    see(&["b:2", "k:2"]);
    fs::remove_dir_all(folder.path().join("new")).unwrap();
    see(&["k:2"]);
    // The whole folder is replaced, and then changed.
    fs::create_dir(folder.dir.path().join("other")).unwrap();
    fs::write(folder.dir.path().join("other/o.yaml"), service("o", 1)).unwrap();
    fs::rename(folder.path(), folder.dir.path().join("old")).unwrap();
    fs::rename(folder.dir.path().join("other"), folder.path()).unwrap();
    see(&["o:1"]);
    folder.write("o.yaml", &service("o", 2));
    see(&["o:2"]);
    // A file that a link from elsewhere leads to.
    fs::create_dir(folder.dir.path().join("elsewhere")).unwrap();
    let target = folder.dir.path().join("elsewhere/t.yaml");
    fs::write(&target, service("t", 1)).unwrap();
    symlink(&target, folder.path().join("t.yaml")).unwrap();
    see(&["o:2", "t:1"]);
    fs::write(&target, service("t", 2)).unwrap();
    see(&["o:2", "t:2"]);
}

#[test]
fn a_single_file_is_followed_too() {
    let folder = Folder::new(&[("a.conf", service("a", 1)), ("other.yaml", service("other", 1))]);
    let changes = Arc::new(Changes::default());
    let mut source = FileSource::watch(&[folder.path().join("a.conf")], changes.clone()).unwrap();
    assert_eq!(services(&source), ["a:1"]);
    let staged = folder.write("staged", &service("a", 2));
    fs::rename(staged, folder.path().join("a.conf")).unwrap();
    wait_for(&mut source, &changes, &["a:2"]);
}
