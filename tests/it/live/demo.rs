//! The demo, small.

use crate::support::amends;

#[tokio::test]
async fn the_demo_ends_well() {
    let output = tokio::process::Command::new(amends())
        .args(["demo", "--orders", "60"])
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap();
    let (out, err) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}\n{err}");
    for words in ["60 orders published", "completed", "compensated", "turning back", "undone once"]
    {
        assert!(out.contains(words), "no {words:?} in:\n{out}");
    }
    assert!(
        err.contains("SIGKILL to orchestrator") && err.contains("SIGKILL to worker inventory"),
        "{err}"
    );
}

#[tokio::test]
async fn the_demo_of_trips_ends_well() {
    let output = tokio::process::Command::new(amends())
        .args(["demo", "--example", "trip", "--trips", "60"])
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap();
    let (out, err) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}\n{err}");
    let words = ["60 trips published", "completed", "compensated", "turning back", "took turns"];
    for words in words {
        assert!(out.contains(words), "no {words:?} in:\n{out}");
    }
    assert!(
        err.contains("SIGKILL to orchestrator") && err.contains("SIGKILL to worker hotel"),
        "{err}"
    );
}

#[tokio::test]
async fn the_demo_reads_orders_from_a_file() {
    let folder = crate::support::folder();
    let file = folder.path().join("orders.jsonl");
    let orders: Vec<_> =
        (0..5).map(|n| crate::support::order(&format!("mine-{n}")).to_string()).collect();
    std::fs::write(&file, orders.join("\n") + "\n\nnonsense\n").unwrap();
    let output = tokio::process::Command::new(amends())
        .args(["demo", "--input", file.to_str().unwrap()])
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("5 completed") && out.contains("1 dead letters"), "{out}");
}
