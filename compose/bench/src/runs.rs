//! One run: a load for some time, and what that cost.

use std::{collections::BTreeMap, time::Instant};

use amends_app::Failed;

use crate::{
    kinds::{Beside, Kind},
    load::{Arrivals, Load},
    measure::{Cost, memory},
    open_sagas::Window,
    report::Run,
    session::Session,
};

impl Session<'_> {
    /// A run, with the limit that it is compared with right before and right after.
    pub(crate) async fn between_limits(&mut self, kind: Kind) -> Result<Run, Failed> {
        let one = kind.is_of_time();
        let known = if one { self.last.chain_ms() } else { self.last.jetstream_per_s };
        let before = match known {
            Some(known) => known,
            None => self.limit(one).await?,
        };
        let mut run = self.measured(kind).await?;
        let after = self.limit(one).await?;
        let limit = f64::midpoint(before, after);
        (run.raw_before, run.raw_after) = (before, after);
        if one {
            run.ratio = run.p50_ms / limit;
            run.ratio_p99 = Some(run.p99_ms / limit);
        } else {
            run.ratio = run.sagas_per_s / limit;
        }
        let (name, per_s, ratio, p50) = (run.name, run.sagas_per_s, run.ratio, run.p50_ms);
        self.progress
            .say(&format!("{name}: {per_s:.0} sagas/s, p50 {p50:.1} ms, {ratio:.2} of raw"));
        Ok(run)
    }

    async fn measured(&mut self, kind: Kind) -> Result<Run, Failed> {
        let workers = if kind.barrier { "with barrier" } else { "no barrier" };
        let arrivals = match kind.arrivals {
            Arrivals::Closed(n) => format!("{n} in flight"),
            Arrivals::Open(rate) => format!("{rate} a second"),
        };
        let conditions = kind.conditions.text();
        self.progress.say(&format!("{}, {arrivals}, {workers}{conditions} …", kind.name));
        let neighbours = self.neighbours(kind).await?;
        let load =
            Load::start(self.client.clone(), kind.arrivals, kind.workload, self.next).await?;
        let timing = kind.conditions.beside.map_or(self.plan.run, |_| self.plan.beside);
        load.open.wait_for(timing.warm_up, None).await?;
        let pids = self.pids();
        let before = self.meter.read(&pids).await?;
        let (from, began) = (load.open.ended(), Instant::now());
        load.open.wait_for(timing.measured, timing.sagas).await?;
        let window = load.open.window(from, began.elapsed());
        let cost = self.meter.read(&pids).await?.since(&before, load.open.ended() - from);
        let rss_mib = memory(&pids);
        self.next = load.stop().await?;
        neighbours.stop().await?;
        self.processes.check()?;
        Ok(self.figures(kind, &window, cost, rss_mib))
    }

    /// The figures of a run; those that compare it with a limit come later.
    fn figures(
        &self,
        kind: Kind,
        window: &Window,
        cost: Cost,
        rss_mib: BTreeMap<&'static str, f64>,
    ) -> Run {
        let (in_flight, rate) = match kind.arrivals {
            Arrivals::Closed(n) => (Some(n), None),
            Arrivals::Open(rate) => (None, Some(rate)),
        };
        Run {
            name: kind.name,
            barrier: kind.barrier,
            shared: kind.barrier && self.processes.shared,
            stored: kind.conditions.stored,
            waiting: kind.conditions.waiting,
            replicas: kind.conditions.replicas,
            beside: kind.conditions.beside.map(Beside::name),
            of_pair: None,
            in_flight,
            rate,
            sagas: window.sagas,
            sagas_per_s: window.per_s,
            ratio: 0.0,
            ratio_p99: None,
            raw_before: 0.0,
            raw_after: 0.0,
            p50_ms: window.quantile(0.5),
            p90_ms: window.quantile(0.9),
            p99_ms: window.quantile(0.99),
            max_ms: window.quantile(1.0),
            wal_bytes_per_saga: cost.wal_bytes,
            hot_share: cost.hot_share,
            statements_per_saga: cost.statements,
            messages_per_saga: cost.messages,
            cpu_s_per_1000: cost.cpu_s_per_1000,
            rss_mib,
        }
    }
}
