//! Flags in both forms, their defaults, and what is refused.

use std::collections::BTreeSet;

use clap::error::ErrorKind;

use super::*;

fn parse(arguments: &[&str]) -> Result<FlagSet, clap::Error> {
    parse_at(Place::Files, arguments)
}

fn parse_at(place: Place, arguments: &[&str]) -> Result<FlagSet, clap::Error> {
    let command = add_to(Command::new("test").arg(Arg::new("paths").num_args(0..)), place, false);
    let matches = command.try_get_matches_from(["test"].into_iter().chain(arguments.iter().copied()))?;
    Ok(FlagSet::from_matches(&matches, place))
}

#[test]
fn every_flag_is_documented_and_its_default_is_a_value() {
    let mut names = BTreeSet::new();
    for flag in FLAGS {
        assert!(names.insert(flag.name), "{} stands twice", flag.name);
        assert!(flag.doc.ends_with('.'), "{}", flag.name);
        assert!(SECTIONS.contains(&flag.section), "{}", flag.name);
        if flag.kind != Kind::Endpoint {
            assert_eq!(flag.kind.check(flag.files.default), Ok(()), "{}", flag.name);
            assert_eq!(flag.kind.check(flag.cluster.default), Ok(()), "{}", flag.name);
        }
    }
}

#[test]
fn every_flag_is_accepted_in_all_its_forms() {
    for flag in FLAGS {
        let (name, long) = (flag.name, format!("--{}", flag.name));
        let value = match flag.kind {
            Kind::Switch => {
                for form in [long.clone(), format!("{long}=true"), format!("{long}=1")] {
                    assert!(parse(&[&form, "path"]).unwrap().is_on(name), "{form}");
                }
                assert!(!parse(&[&format!("{long}=false")]).unwrap().is_on(name));
                assert!(parse(&[&long, "false"]).unwrap().is_on(name), "what follows a switch is not its value");
                continue;
            }
            Kind::Endpoint => "shop/wear=127.0.0.1:9000",
            Kind::Nameserver => "127.0.0.1:53",
            _ if flag.files.default.is_empty() => "a/b",
            _ => flag.files.default,
        };
        for arguments in [vec![format!("{long}={value}")], vec![long.clone(), value.to_owned()]] {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            assert_eq!(parse(&arguments).unwrap().text(name), value, "{arguments:?}");
        }
    }
}

#[test]
fn the_last_value_counts_and_endpoints_add_up() {
    let flags =
        parse(&["--configmap=a/b", "--configmap", "c/d", "--endpoint=a/b=1.2.3.4:5", "--endpoint", "c/d:x=[::1]:6"])
            .unwrap();
    assert_eq!(flags.text("configmap"), "c/d");
    assert_eq!(flags.all("endpoint").collect::<Vec<_>>(), ["a/b=1.2.3.4:5", "c/d:x=[::1]:6"]);
    assert_eq!(parse(&["--configmap=a/b", "--configmap="]).unwrap().text("configmap"), "");
}

#[test]
fn klog_flags_have_their_spellings() {
    let flags = parse(&["-v=5", "--log-dir=/tmp", "--add_dir_header"]).unwrap();
    assert_eq!(flags.text("v"), "5");
    assert_eq!(flags.text("log_dir"), "/tmp");
    for flag in FLAGS.iter().filter(|flag| flag.name.contains('_')) {
        assert_eq!(alias(flag.name), Some(flag.name.replace('_', "-").as_str()));
    }
    assert_eq!(parse(&["--v", "3"]).unwrap().text("v"), "3");
    assert_eq!(parse(&["-v", "3"]).unwrap().text("v"), "3");
}

#[test]
fn an_unknown_flag_is_refused_with_the_nearest_known_one() {
    let error = parse(&["--htp-port=80"]).unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::UnknownArgument, 2));
    assert!(error.to_string().contains("--http-port"), "{error}");
}

#[test]
fn bad_values_are_refused() {
    for argument in [
        "--http-port=70000",
        "--http-port=-1",
        "--http-port=http",
        "--admin-address=localhost:1",
        "--configmap=name",
        "--configmap=a/b/c",
        "--deep-inspect=maybe",
        "--election-ttl=30",
        "--shutdown-grace-period=-1",
        "--health-check-path=healthz",
        "--endpoint=shop/wear",
        "--endpoint=shop=127.0.0.1:80",
        "--endpoint=shop/wear=127.0.0.1",
        "--endpoint=shop/wear:=127.0.0.1:80",
        "--resolver=name.example",
        "--time-buckets=1,x",
    ] {
        let error = parse(&[argument]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{argument}");
    }
}

#[test]
fn go_durations_are_understood() {
    for (text, fine) in [
        ("0", true),
        ("0s", true),
        ("1m30s", true),
        ("1.5h", true),
        ("100ms", true),
        ("30", false),
        ("s", false),
        ("", false),
        ("1d", false),
        ("1m30", false),
    ] {
        assert_eq!(Kind::Duration.check(text).is_ok(), fine, "{text:?}");
    }
    for (text, want) in
        [("0", 0), ("30s", 30_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("100ms", 100), ("2µs", 0), ("-1s", 0)]
    {
        assert_eq!(duration(text).map(|time| time.as_millis()), Ok(want), "{text}");
    }
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    for arguments in [
        ["--publish-service=a/b", "--publish-status-address=1.2.3.4"],
        ["--watch-namespace=a", "--watch-namespace-selector=b=c"],
        ["--metrics-per-undefined-host", "--metrics-per-host=false"],
    ] {
        assert!(parse(&arguments).unwrap().check_together().is_err(), "{arguments:?}");
    }
    assert!(parse(&["--metrics-per-undefined-host", "--watch-namespace=a"]).unwrap().check_together().is_ok());
}

#[test]
fn a_flag_without_effect_is_a_finding_unless_it_has_its_default() {
    let codes = |arguments: &[&str]| -> Vec<String> {
        let findings = parse(arguments).unwrap().findings();
        findings.iter().map(|finding| format!("{} {}", finding.severity, finding.object.name)).collect()
    };
    assert_eq!(codes(&["--http-port=80", "--configmap=a/b", "--v=2"]), Vec::<String>::new());
    assert_eq!(
        codes(&["--enable-ssl-passthrough=false", "--metrics-per-host=1", "--election-ttl=30s"]),
        Vec::<String>::new()
    );
    assert_eq!(codes(&["--enable-ssl-passthrough"]), ["warning --enable-ssl-passthrough"]);
    assert_eq!(codes(&["--update-status=false"]), ["info --update-status"]);
    let finding = parse(&["--maxmind-license-key=hush"]).unwrap().findings().remove(0);
    assert!(!finding.to_string().contains("hush"), "{finding}");
}

#[test]
fn host_names_of_endpoints_are_looked_up() {
    let found = endpoint("shop/wear-service:http=localhost:9000").unwrap();
    assert_eq!((found.port.as_deref(), found.address.port()), (Some("http"), 9000));
    assert!(found.address.ip().is_loopback());
    assert!(endpoint("shop/wear-service=nowhere.invalid:9000").is_err());
}

#[test]
fn defaults_in_a_cluster_are_those_of_ingress_nginx() {
    let flags = parse_at(Place::Cluster, &["--sync-period=1h", "--http-port=8080"]).unwrap();
    for (name, want) in [
        ("http-port", "8080"),
        ("https-port", "443"),
        ("healthz-port", "10254"),
        ("admin-address", "127.0.0.1:10255"),
        ("configmap", ""),
        ("v", "0"),
    ] {
        assert_eq!(flags.text(name), want, "{name}");
    }
    let findings = flags.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].message.contains("a watch goes on"), "{}", findings[0].message);
    assert_eq!(parse(&["--healthz-port=1"]).unwrap().findings().len(), 1, "without a cluster there is no such address");
    assert!(parse_at(Place::Cluster, &["--healthz-port=1"]).unwrap().findings().is_empty());
}
