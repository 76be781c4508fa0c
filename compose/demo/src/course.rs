//! The course of a demo: publish, kill parts on the way, wait until all has settled, judge.

use std::time::{Duration, Instant};

use amends::wire;
use amends_app::{During as _, Failed, transcript};
use amends_postgres::Database;
use async_nats::jetstream::{self, consumer::PullConsumer};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::statuses,
    example::{Example, Findings},
    message::Message,
    processes::Processes,
    progress::Progress,
};

/// How long publishing takes, however much there is, so that there is something to break.
const PUBLISHING: Duration = Duration::from_secs(6);

/// The longest that anything may be quiet before the demo gives up: redelivery takes 30 s.
const QUIET_MAX: Duration = Duration::from_secs(90);

/// What is published.
#[derive(Clone, Copy)]
pub(crate) struct Script<'a> {
    pub(crate) example: Example,
    /// How many sagas begin by it.
    pub(crate) sagas: usize,
    pub(crate) messages: &'a [Message],
}

/// What a demo found.
pub(crate) struct Outcome {
    pub(crate) example: Example,
    pub(crate) findings: Findings,
    pub(crate) published: usize,
    pub(crate) dead_letters: i64,
    pub(crate) took: Duration,
    pub(crate) transcript: Option<String>,
}

/// A demo that goes on.
pub(crate) struct Course<'a> {
    pub(crate) database: &'a Database,
    pub(crate) jetstream: jetstream::Context,
    pub(crate) script: Script<'a>,
    pub(crate) progress: &'a mut Progress,
    pub(crate) stop: &'a CancellationToken,
}

impl Course<'_> {
    pub(crate) async fn run(mut self, processes: &mut Processes) -> Result<Outcome, Failed> {
        let consumer = self.consumer(processes).await?;
        let began = Instant::now();
        let Script { example, sagas, messages } = self.script;
        let (noun, subject) = (example.noun(), example.subject());
        self.progress.say(&format!("publishing {sagas} {noun} to {subject}"));
        let (third, victim) = (messages.len() / 3, ["worker", example.victim()]);
        self.publish(&messages[..third]).await?;
        self.kill(processes, &victim).await?;
        self.publish(&messages[third..2 * third]).await?;
        self.revive(processes, &victim)?;
        self.kill(processes, &["orchestrator"]).await?;
        self.publish(&messages[2 * third..]).await?;
        self.revive(processes, &["orchestrator"])?;
        self.wait(processes, consumer).await?;
        self.judge(began.elapsed()).await
    }

    /// The consumer of triggers; it is there when the orchestrator is ready.
    async fn consumer(&self, processes: &mut Processes) -> Result<PullConsumer, Failed> {
        loop {
            let name = format!("amends-{}", self.script.example.definition());
            let found = self.jetstream.get_consumer_from_stream(name, wire::EVENTS_STREAM).await;
            if let Ok(consumer) = found {
                return Ok(consumer);
            }
            self.pause(Duration::from_millis(50), processes).await?;
        }
    }

    async fn pause(&self, pause: Duration, processes: &mut Processes) -> Result<(), Failed> {
        if let Some(ended) = processes.ended() {
            return Err(Failed::new(ended));
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.stop.cancelled() => Err(Failed::interrupted()),
        }
    }

    async fn publish(&mut self, messages: &[Message]) -> Result<(), Failed> {
        let total = u32::try_from(self.script.messages.len()).unwrap_or(u32::MAX).max(1);
        let mut beat = tokio::time::interval(
            PUBLISHING.div_f64(f64::from(total)).max(Duration::from_nanos(1)),
        );
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let mut acks = Vec::with_capacity(messages.len());
        for message in messages {
            tokio::select! {
                _ = beat.tick() => {}
                () = self.stop.cancelled() => return Err(Failed::interrupted()),
            }
            let published = self.jetstream.publish(message.subject, message.body.clone()).await;
            acks.push(published.during("a message cannot be published")?);
            if acks.len().is_multiple_of(100) {
                self.show_progress().await?;
            }
        }
        for ack in acks {
            ack.await.during("a message was not stored")?;
        }
        Ok(())
    }

    /// Shows how far the sagas are; returns how many have ended, and how many have not.
    async fn show_progress(&mut self) -> Result<(i64, i64), Failed> {
        let statuses = statuses(self.database, self.script.example.definition()).await;
        let (mut ended, mut open) = (0, 0);
        let mut counts = Vec::new();
        for (status, sagas) in statuses.during("the sagas cannot be counted")? {
            let over = matches!(status.as_str(), "completed" | "compensated" | "stuck");
            *(if over { &mut ended } else { &mut open }) += sagas;
            counts.push(format!("{sagas} {status}"));
        }
        self.progress.set(ended.unsigned_abs(), counts.join(", "));
        Ok((ended, open))
    }

    async fn kill(&mut self, processes: &mut Processes, role: &[&str]) -> Result<(), Failed> {
        let (_, open) = self.show_progress().await?;
        processes.kill(role).await?;
        let noun = self.script.example.noun();
        self.progress.say(&format!("SIGKILL to {}, with {open} {noun} in flight", role.join(" ")));
        Ok(())
    }

    fn revive(&self, processes: &mut Processes, role: &[&str]) -> Result<(), Failed> {
        self.progress.say(&format!("{} starts again", role.join(" ")));
        processes.start(role)
    }

    /// Until every trigger is consumed and every saga has ended.
    async fn wait(
        &mut self,
        processes: &mut Processes,
        mut consumer: PullConsumer,
    ) -> Result<(), Failed> {
        let (mut last, mut moved) = ((0, 0), Instant::now());
        loop {
            let seen = self.show_progress().await?;
            let info = consumer.info().await.during("the consumer of triggers")?;
            let waiting = info.num_pending + info.num_ack_pending as u64;
            if waiting == 0 && seen.1 == 0 {
                return Ok(());
            }
            if seen != last {
                (last, moved) = (seen, Instant::now());
            }
            if moved.elapsed() > QUIET_MAX {
                return Err(Failed::new(format!(
                    "{} {} do not end, {waiting} were not taken",
                    seen.1,
                    self.script.example.noun()
                )));
            }
            self.pause(Duration::from_millis(100), processes).await?;
        }
    }

    async fn judge(&self, took: Duration) -> Result<Outcome, Failed> {
        let Script { example, sagas, .. } = self.script;
        let mut findings = example.judge(self.database).await?;
        let counts = sqlx::query_file!("src/sql/demo_counts.sql", example.definition());
        let counts = counts.fetch_one(self.database).await;
        let counts = counts.during("the dead letters cannot be counted")?;
        let stuck = findings.statuses.iter().find(|(status, _)| status == "stuck");
        if let Some((_, stuck)) = stuck {
            findings.problems.push(format!("{stuck} sagas are stuck"));
        }
        let transcript = match counts.compensated {
            Some(id) => Some(transcript(self.database, &id.to_string()).await?),
            None => None,
        };
        Ok(Outcome {
            example,
            findings,
            published: sagas,
            dead_letters: counts.dead_letters,
            took,
            transcript,
        })
    }
}
