//! The benchmark, small: what it counts must be what the sagas did, however slow the machine is.

use serde_json::Value;

use crate::support;

#[tokio::test]
async fn the_benchmark_counts_what_sagas_do() {
    let output = tokio::process::Command::new(support::amends())
        .args(["bench", "--quick", "--json", "--in-flight", "8", "--sagas", "150"])
        .args(["--only", "compensated", "--stored", "300"])
        .output()
        .await
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
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
    let kinds = runs.iter().map(|run| (run["barrier"].as_bool(), run["stored"].as_u64()));
    let kinds: Vec<_> =
        kinds.map(|(barrier, stored)| (barrier.unwrap(), stored.unwrap())).collect();
    assert_eq!(kinds, [(false, 0), (true, 0), (false, 300), (true, 300)]);
}
