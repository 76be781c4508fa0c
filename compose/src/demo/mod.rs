//! `amends demo`: orders or trips through real servers, with parts killed on the way, judged by the
//! services' own ledgers.

mod crew;
mod example;
mod orders;
mod progress;
mod report;
mod trips;

use std::{
    io::BufRead as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use amends::wire;
use async_nats::jetstream::{self, consumer::PullConsumer};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

pub(crate) use self::example::Example;
use self::{
    crew::Crew,
    example::{Findings, Message},
    progress::Progress,
};
use crate::{
    During as _, Failed, audit, cli::DemoArgs, dev, link, local::Local, roles::stop_on_signal,
};

/// How long publishing takes, however much there is, so that there is something to break.
const PUBLISHING: Duration = Duration::from_secs(6);

/// The longest that anything may be quiet before the demo gives up: redelivery takes 30 s.
const QUIET_MAX: Duration = Duration::from_secs(90);

/// Most lines that are read as input.
const LINES_MAX: usize = 1_000_000;

/// Runs the demo.
pub(crate) async fn run(args: DemoArgs) -> Result<(), Failed> {
    let example = args.example;
    let messages = match &args.input {
        Some(file) => read(example, file)?,
        None => example.generate(args.orders.unwrap_or(example.usual()))?,
    };
    let sagas = messages.iter().filter(|message| message.subject == example.subject()).count();
    let stop = stop_on_signal()?;
    let temporary = match &args.data {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("amends-demo-").tempdir().during("a folder")?),
    };
    let data = match (&args.data, &temporary) {
        (Some(data), _) => data.clone(),
        (None, Some(folder)) => folder.path().to_owned(),
        (None, None) => return Err(Failed("no folder for the data".into())),
    };
    let mut progress = Progress::new(sagas as u64, example.noun());
    progress.say("starting a private Postgres and nats-server …");
    let local = Local::start(&data).await.during("the private servers cannot be started")?;
    let play = Play { example, sagas, messages: &messages };
    let shown = show(&local, &data, play, &mut progress, &stop).await;
    progress.done();
    let stopped = local.stop().await.during("the private servers cannot be stopped");
    let ended = shown?;
    stopped?;
    crate::looks::print(&report::text(&ended, args.data.as_deref()))?;
    if ended.findings.problems.is_empty() {
        Ok(())
    } else {
        Err(Failed("the demo found problems, see above".into()))
    }
}

/// What a demo found.
pub(crate) struct Ended {
    example: Example,
    findings: Findings,
    published: usize,
    dead_letters: i64,
    took: Duration,
    transcript: Option<String>,
}

/// What is published.
#[derive(Clone, Copy)]
struct Play<'a> {
    example: Example,
    /// How many sagas begin by it.
    sagas: usize,
    messages: &'a [Message],
}

fn read(example: Example, file: &Path) -> Result<Vec<Message>, Failed> {
    let what = format!("the {} in {}", example.noun(), file.display());
    let reader: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).during(&what)?)
    };
    let mut messages = Vec::new();
    for line in std::io::BufReader::new(reader).split(b'\n') {
        let line = line.during(&what)?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if messages.len() == LINES_MAX {
            return Err(Failed(format!("{what} have more than {LINES_MAX} lines")));
        }
        messages.push(Message { subject: example.subject(), body: line.into() });
    }
    if messages.is_empty() {
        return Err(Failed(format!("{what}: there are none, one JSON object a line is expected")));
    }
    Ok(messages)
}

async fn show(
    local: &Local,
    data: &Path,
    play: Play<'_>,
    progress: &mut Progress,
    stop: &CancellationToken,
) -> Result<Ended, Failed> {
    let interrupted = || Failed("interrupted".into());
    let pool = link::postgres(local.database_url(), 4, &[], None, stop).await?;
    let pool = pool.ok_or_else(interrupted)?;
    let client = link::nats(local.nats_url(), None, stop).await?.ok_or_else(interrupted)?;
    let jetstream = jetstream::new(client);
    dev::prepare(&pool).await?;
    let logs = data.join("logs");
    std::fs::create_dir_all(&logs).during("the folder for logs")?;
    let mut crew = Crew::new(local, &logs)?;
    crew.start(&["orchestrator"])?;
    for name in play.example.services() {
        crew.start(&["worker", name])?;
    }
    let run = Run { pool: &pool, jetstream, play, progress, stop };
    let ended = run.play(&mut crew).await;
    crew.stop().await;
    pool.close().await;
    ended.map_err(|Failed(why)| Failed(format!("{why}{}", last_words(&logs))))
}

/// The ends of the logs, for a demo that failed: its folder is about to go.
fn last_words(logs: &Path) -> String {
    let mut text = String::new();
    let files = std::fs::read_dir(logs).into_iter().flatten().flatten();
    for file in files.map(|f| f.path()).collect::<Vec<PathBuf>>() {
        let log = std::fs::read_to_string(&file).unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(5).collect();
        text += &format!("\n--- {}\n", file.display());
        text.extend(tail.iter().rev().map(|line| format!("{line}\n")));
    }
    text
}

struct Run<'a> {
    pool: &'a PgPool,
    jetstream: jetstream::Context,
    play: Play<'a>,
    progress: &'a mut Progress,
    stop: &'a CancellationToken,
}

impl Run<'_> {
    async fn play(mut self, crew: &mut Crew) -> Result<Ended, Failed> {
        let consumer = self.consumer(crew).await?;
        let began = Instant::now();
        let Play { example, sagas, messages } = self.play;
        let (noun, subject) = (example.noun(), example.subject());
        self.progress.say(&format!("publishing {sagas} {noun} to {subject}"));
        let (third, victim) = (messages.len() / 3, ["worker", example.victim()]);
        self.publish(&messages[..third]).await?;
        self.kill(crew, &victim).await?;
        self.publish(&messages[third..2 * third]).await?;
        self.revive(crew, &victim)?;
        self.kill(crew, &["orchestrator"]).await?;
        self.publish(&messages[2 * third..]).await?;
        self.revive(crew, &["orchestrator"])?;
        self.wait(crew, consumer).await?;
        self.judge(began.elapsed()).await
    }

    /// The consumer of triggers; it is there when the orchestrator is ready.
    async fn consumer(&self, crew: &mut Crew) -> Result<PullConsumer, Failed> {
        loop {
            let name = format!("amends-{}", self.play.example.definition());
            let found = self.jetstream.get_consumer_from_stream(name, wire::EVENTS_STREAM).await;
            if let Ok(consumer) = found {
                return Ok(consumer);
            }
            self.pause(Duration::from_millis(50), crew).await?;
        }
    }

    async fn pause(&self, pause: Duration, crew: &mut Crew) -> Result<(), Failed> {
        if let Some(ended) = crew.ended() {
            return Err(Failed(ended));
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.stop.cancelled() => Err(Failed("interrupted".into())),
        }
    }

    async fn publish(&mut self, messages: &[Message]) -> Result<(), Failed> {
        let total = u32::try_from(self.play.messages.len()).unwrap_or(u32::MAX).max(1);
        let mut beat = tokio::time::interval(
            PUBLISHING.div_f64(f64::from(total)).max(Duration::from_nanos(1)),
        );
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let mut acks = Vec::with_capacity(messages.len());
        for message in messages {
            tokio::select! {
                _ = beat.tick() => {}
                () = self.stop.cancelled() => return Err(Failed("interrupted".into())),
            }
            let published = self.jetstream.publish(message.subject, message.body.clone()).await;
            acks.push(published.during("a message cannot be published")?);
            if acks.len().is_multiple_of(100) {
                self.look().await?;
            }
        }
        for ack in acks {
            ack.await.during("a message was not stored")?;
        }
        Ok(())
    }

    /// Shows how far the sagas are; returns how many have ended, and how many have not.
    async fn look(&mut self) -> Result<(i64, i64), Failed> {
        let statuses = audit::statuses(self.pool, self.play.example.definition()).await;
        let (mut ended, mut open) = (0, 0);
        let mut words = Vec::new();
        for (status, sagas) in statuses.during("the sagas cannot be counted")? {
            let over = matches!(status.as_str(), "completed" | "compensated" | "stuck");
            *(if over { &mut ended } else { &mut open }) += sagas;
            words.push(format!("{sagas} {status}"));
        }
        self.progress.set(ended.unsigned_abs(), words.join(", "));
        Ok((ended, open))
    }

    async fn kill(&mut self, crew: &mut Crew, role: &[&str]) -> Result<(), Failed> {
        let (_, open) = self.look().await?;
        crew.kill(role).await?;
        let noun = self.play.example.noun();
        self.progress.say(&format!("SIGKILL to {}, with {open} {noun} in flight", role.join(" ")));
        Ok(())
    }

    fn revive(&self, crew: &mut Crew, role: &[&str]) -> Result<(), Failed> {
        self.progress.say(&format!("{} starts again", role.join(" ")));
        crew.start(role)
    }

    /// Until every trigger is consumed and every saga has ended.
    async fn wait(&mut self, crew: &mut Crew, mut consumer: PullConsumer) -> Result<(), Failed> {
        let (mut last, mut moved) = ((0, 0), Instant::now());
        loop {
            let seen = self.look().await?;
            let info = consumer.info().await.during("the consumer of triggers")?;
            let waiting = info.num_pending + info.num_ack_pending as u64;
            if waiting == 0 && seen.1 == 0 {
                return Ok(());
            }
            if seen != last {
                (last, moved) = (seen, Instant::now());
            }
            if moved.elapsed() > QUIET_MAX {
                return Err(Failed(format!(
                    "{} {} do not end, {waiting} were not taken",
                    seen.1,
                    self.play.example.noun()
                )));
            }
            self.pause(Duration::from_millis(100), crew).await?;
        }
    }

    async fn judge(&self, took: Duration) -> Result<Ended, Failed> {
        let Play { example, sagas, .. } = self.play;
        let mut findings = example.judge(self.pool).await?;
        let counts = sqlx::query_file!("src/sql/demo_counts.sql", example.definition());
        let counts = counts.fetch_one(self.pool).await;
        let counts = counts.during("the dead letters cannot be counted")?;
        let stuck = findings.statuses.iter().find(|(status, _)| status == "stuck");
        if let Some((_, stuck)) = stuck {
            findings.problems.push(format!("{stuck} sagas are stuck"));
        }
        let transcript = match counts.compensated {
            Some(id) => Some(crate::looks::transcript(self.pool, &id.to_string()).await?),
            None => None,
        };
        Ok(Ended {
            example,
            findings,
            published: sagas,
            dead_letters: counts.dead_letters,
            took,
            transcript,
        })
    }
}
