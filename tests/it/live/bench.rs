//! The benchmark, small: what it counts must be what the sagas did, however slow the machine is.

use serde_json::Value;

use crate::support;

#[tokio::test]
async fn the_benchmark_counts_what_sagas_do() {
    let flags = ["--sagas", "150", "--only", "compensated", "--stored", "300", "--waiting", "200"];
    let report = bench(&flags).await;
    for limit in ["jetstream_per_s", "postgres_per_s"] {
        assert!(report["raw"][limit].as_f64().unwrap() > 0.0, "{report}");
    }
    let runs = report["runs"].as_array().unwrap();
    for run in runs {
        let figure = |name: &str| run[name].as_f64().unwrap();
        assert!(figure("sagas") >= 150.0 && figure("ratio") > 0.0, "{run}");
        assert!(figure("p50_ms") <= figure("p99_ms"), "{run}");
        // A trigger, three commands, two of them undone, five answers, two changes of status. Those
        // in flight blur it.
        assert!((figure("messages_per_saga") - 13.0).abs() < 1.5, "{run}");
        assert!(figure("wal_bytes_per_saga") > 1000.0, "{run}");
        assert!(run["cpu_s_per_1000"]["orchestrator"].as_f64().unwrap() > 0.0, "{run}");
        assert!(run["rss_mib"]["postgres"].as_f64().unwrap() > 1.0, "{run}");
    }
    let number = |run: &Value, name: &str| run[name].as_u64().unwrap();
    let kinds: Vec<_> = runs
        .iter()
        .map(|run| {
            (run["barrier"].as_bool().unwrap(), number(run, "stored"), number(run, "waiting"))
        })
        .collect();
    let expected = [(0, 0), (300, 0), (300, 200)];
    let expected = expected.map(|(stored, waiting)| [false, true].map(|b| (b, stored, waiting)));
    assert_eq!(kinds, expected.concat());
    assert_eq!(report["start"]["waiting"], 200, "{report}");
}

#[tokio::test]
async fn the_benchmark_shows_replicas_neighbours_and_a_recovery() {
    let flags = ["--no-barrier", "--sagas", "100", "--rate", "50"];
    let drills = ["--replicas", "2", "--neighbours=40", "--recovery", "2000"];
    let report = bench(&[&flags[..], &drills].concat()).await;
    let runs = report["runs"].as_array().unwrap();
    let kinds: Vec<_> = runs
        .iter()
        .map(|run| (run["replicas"].as_u64().unwrap(), run["beside"].as_str().unwrap_or_default()))
        .collect();
    let beside = ["nobody", "failing", "hanging", "nobody"].map(|beside| (1, beside));
    assert_eq!(kinds, [&[(1, ""), (2, ""), (1, "")], &beside[..]].concat());
    for run in runs {
        // Only what differs from its neighbours in one thing is compared with them.
        let differs =
            run["replicas"] == 2 || run["beside"] == "failing" || run["beside"] == "hanging";
        assert_eq!(
            run["of_pair"]["p99_ms"].as_f64().is_some_and(|share| share > 0.0),
            differs,
            "{run}"
        );
    }
    // Those that broke and were repeated take more messages; those that hang are few.
    let messages = |at: usize| runs[at]["messages_per_saga"].as_f64().unwrap();
    assert!(messages(4) > messages(3) + 0.5, "{report}");
    let recovery = &report["recovery"][0];
    let figure = |name: &str| recovery[name].as_f64().unwrap();
    assert!((100.0..=2000.0).contains(&figure("in_flight")), "{report}");
    assert!(
        0.0 < figure("first_moved_s") && figure("first_moved_s") <= figure("moving_s"),
        "{report}"
    );
    assert!(figure("moving_s") <= figure("ended_s"), "{report}");
}

/// A quick benchmark with eight sagas in flight.
async fn bench(flags: &[&str]) -> Value {
    let output = tokio::process::Command::new(support::amends())
        .args(["bench", "--quick", "--json", "--in-flight", "8"])
        .args(flags)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
