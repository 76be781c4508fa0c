//! Other sagas beside those that are measured.

use amends_app::{During as _, Failed};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    kinds::{Beside, Kind},
    load::{Arrivals, Load, Workload},
    saga::OTHER_SERVICE,
    session::Session,
    workers,
};

/// Numbers of sagas that are not measured begin so much later: both kinds are told on one subject.
const APART: u64 = 1 << 40;

/// What goes on beside a run.
pub(crate) enum Neighbours {
    Nobody,
    Failing(Load),
    Other(Load, Service),
}

/// The service of the other sagas. It pulls commands, and answers none before it is healed.
pub(crate) struct Service {
    gate: watch::Sender<bool>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Session<'_> {
    /// Begins what this kind of run has beside it.
    pub(crate) async fn neighbours(&mut self, kind: Kind) -> Result<Neighbours, Failed> {
        let (client, first) = (self.client.clone(), self.next + APART);
        match (kind.conditions.beside, kind.arrivals) {
            (Some(Beside::Failing), Arrivals::Open(rate)) => {
                let rate = Arrivals::Open((rate / 10).max(1));
                Ok(Neighbours::Failing(Load::start(client, rate, Workload::FAILING, first).await?))
            }
            (Some(Beside::Hanging(sagas)), _) => {
                let service = Service::start(client.clone(), false);
                let all = Arrivals::Closed(usize::try_from(sagas).during("sagas that hang")?);
                let load = Load::start(client, all, Workload::OTHER, first).await?;
                self.all_wait(u64::from(sagas)).await?;
                Ok(Neighbours::Other(load, service))
            }
            (Some(Beside::Flooding(rate)), _) => {
                let service = Service::start(client.clone(), true);
                let load =
                    Load::start(client, Arrivals::Open(rate), Workload::OTHER, first).await?;
                Ok(Neighbours::Other(load, service))
            }
            _ => Ok(Neighbours::Nobody),
        }
    }
}

impl Neighbours {
    /// Waits until all of them have ended, too: the next run begins with an empty house.
    pub(crate) async fn stop(self) -> Result<(), Failed> {
        match self {
            Self::Nobody => Ok(()),
            Self::Failing(load) => load.stop().await.map(drop),
            Self::Other(load, service) => {
                // None begins in place of one that ends now.
                load.open.close();
                service.gate.send_replace(true);
                let ended = load.stop().await;
                service.stop.cancel();
                service.serving.await.during("the other service")?;
                ended.map(drop)
            }
        }
    }
}

impl Service {
    fn start(client: async_nats::Client, answers: bool) -> Self {
        let (gate, closed) = watch::channel(answers);
        let stop = CancellationToken::new();
        let serving = workers::plain(client, OTHER_SERVICE, false, Some(closed), stop.clone());
        Self { gate, stop, serving: tokio::spawn(serving) }
    }
}
