//! Runs beside each other: a machine is not the same every minute, so what is compared alternates.

use crate::report::{OfPair, Run};

/// Compares each run with the nearest plain ones of its kind, before and after it.
pub(crate) fn compare(runs: &mut [Run]) {
    let pairs: Vec<_> = (0..runs.len()).map(|at| pair(runs, at)).collect();
    for (run, of_pair) in runs.iter_mut().zip(pairs) {
        run.of_pair = of_pair;
    }
}

fn pair(runs: &[Run], at: usize) -> Option<OfPair> {
    let (earlier, rest) = runs.split_at(at);
    let (run, later) = rest.split_first()?;
    if is_plain(run) {
        return None;
    }
    let other = |other: &&Run| {
        is_plain(other)
            && (other.name, other.barrier, other.in_flight)
                == (run.name, run.barrier, run.in_flight)
    };
    let before = earlier.iter().rev().find(other);
    let others: Vec<_> = before.into_iter().chain(later.iter().find(other)).collect();
    let of = |figure: fn(&Run) -> f64| {
        let sum: f64 = others.iter().map(|other| figure(other)).sum();
        figure(run) / (sum / others.len() as f64)
    };
    (!others.is_empty()).then(|| OfPair {
        sagas_per_s: of(|run| run.sagas_per_s),
        p50_ms: of(|run| run.p50_ms),
        p99_ms: of(|run| run.p99_ms),
    })
}

/// One orchestrator, and no neighbour in trouble.
fn is_plain(run: &Run) -> bool {
    run.replicas == 1 && matches!(run.beside, None | Some("nobody"))
}
