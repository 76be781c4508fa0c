//! An installation in which all is well, and what a person sees of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Findings, healthy};
use crate::{
    support::{order, repository},
    tidy::assert_none,
};

#[tokio::test]
async fn a_healthy_installation_has_every_check_ok() {
    let shop = healthy().await;
    shop.publish_order(&order("o-1")).await;
    assert_eq!(shop.fate("o-1").await, "completed");
    let findings = Findings::of(&shop, &["--strict"]).await;
    findings.fails(&[]);
    assert_eq!(findings.with("warning"), Vec::<String>::new());
    // What cannot be seen from here, and what was not asked for.
    assert_eq!(findings.with("skipped"), ["nats: sync", "rights: rights", "saga: round trip"]);
    let groups: BTreeSet<_> =
        findings.checks().map(|check| check["group"].as_str().unwrap().to_owned()).collect();
    let all = ["definitions", "nats", "orchestrator", "participants", "postgres", "rights"];
    assert_eq!(
        groups,
        [&all[..], &["saga", "servers", "workers"]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    );
    let ok = usize::try_from(findings.all["counts"]["ok"].as_u64().unwrap()).unwrap();
    assert_eq!(ok, findings.with("ok").len());

    // It has stored a probe, and nothing else anywhere.
    let before = shop.number("select count(*) from amends.sagas").await;
    assert_eq!(before, 1);
    let output = shop.run(&["doctor", "--read-only"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "Servers");
    assert!(text.contains("\n  skipped  store "), "{text}");
    assert_eq!(*lines.last().unwrap(), format!("{} ok, 0 warnings, 0 failed, 4 skipped", ok - 1));
    // Columns are aligned, and nothing is painted.
    let found = lines[1].find("15").or_else(|| lines[1].find("at 127")).map(|_| lines[1].len());
    assert!(found.is_some() && !text.contains('\x1b'), "{text}");

    is_documented(&findings);
}

/// Each check that a healthy installation has stands in the page about it.
fn is_documented(findings: &Findings) {
    let page = std::fs::read_to_string(repository().join("docs/doctor.md")).unwrap();
    let row = |check: &Value| {
        let name = check["name"].as_str().unwrap();
        let (group, kind) = (check["group"].as_str().unwrap(), name.split(' ').next().unwrap());
        match (group, kind) {
            ("nats", "stream") => "| `stream …` |".to_owned(),
            ("orchestrator", "consumer") => "| `consumer …` |".to_owned(),
            ("definitions", _) => "| `order@1` … |".to_owned(),
            ("workers", _) => "| `payment` … |".to_owned(),
            ("participants", _) => format!("| `{kind} of …` |"),
            _ => format!("| `{name}` |"),
        }
    };
    let missing: BTreeSet<_> =
        findings.checks().map(row).filter(|row| !page.contains(row.as_str())).collect();
    assert_none(&missing.into_iter().collect::<Vec<_>>(), "checks that docs/doctor.md lacks");
}
