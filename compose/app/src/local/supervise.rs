//! The supervisor's side: a process of its own that starts one server and stops it when its parent
//! says so or is gone.
//!
//! Parent to supervisor, on standard input: the byte [`KILL`], or the end of file for an orderly
//! stop. Supervisor to parent, on standard output: one line, `pid <number>` or `error <reason>`.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::user::Account;

/// The hidden sub-command under which an executable is the supervisor of one server.
pub(super) const SUPERVISE: &str = "supervise-child";

/// The order to end the server by SIGKILL.
pub(super) const KILL: u8 = b'k';

/// How a server is stopped: signals, each with the time it is given before the next.
pub(super) type Stops = &'static [(Signal, Duration)];

/// What kind of server it is, as far as a supervisor cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Postgres,
    Nats,
}

impl Kind {
    /// SIGINT is Postgres's fast shutdown and SIGQUIT its immediate one, which takes the backends
    /// along, as a SIGKILL of the postmaster would not.
    pub(super) fn stops(self) -> Stops {
        const PATIENCE: Duration = Duration::from_secs(5);
        match self {
            Self::Postgres => &[
                (Signal::SIGINT, PATIENCE),
                (Signal::SIGQUIT, PATIENCE),
                (Signal::SIGKILL, Duration::MAX),
            ],
            Self::Nats => &[(Signal::SIGTERM, PATIENCE), (Signal::SIGKILL, Duration::MAX)],
        }
    }
}

/// The arguments by which a supervisor learns what to start.
pub(super) fn arguments(
    kind: Kind,
    account: Option<&Account>,
    command: impl Iterator<Item = OsString>,
) -> Vec<OsString> {
    let kind = match kind {
        Kind::Postgres => "postgres",
        Kind::Nats => "nats",
    };
    let user = account.map_or_else(|| "-".to_owned(), |user| format!("{}:{}", user.uid, user.gid));
    [kind.into(), user.into()].into_iter().chain(command).collect()
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Option<(Stops, Command)> {
    let kind = match args.next()?.to_str()? {
        "postgres" => Kind::Postgres,
        "nats" => Kind::Nats,
        _ => return None,
    };
    let user = args.next()?;
    let mut command = Command::new(args.next()?);
    if user != "-" {
        let (uid, gid) = user.to_str()?.split_once(':')?;
        command.uid(uid.parse().ok()?).gid(gid.parse().ok()?);
    }
    command.args(args);
    Some((kind.stops(), command))
}

/// Supervises a server if that is what this process was started for; else `None`, at once.
///
/// It belongs before the command line is parsed and before any runtime or thread is started.
#[must_use]
pub fn supervise_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == SUPERVISE).then(|| supervise(args))
}

/// Runs as the supervisor of one server until that has ended: the entry of the hidden sub-command
/// [`SUPERVISE`], with the arguments that follow it.
fn supervise(args: impl Iterator<Item = OsString>) -> ExitCode {
    let started = parse(args)
        .ok_or(SuperviseError::Arguments)
        .and_then(|(stops, command)| Ok((stops, start(command)?)));
    match started {
        Ok((stops, (mut server, events))) => {
            report(&format!("pid {}", server.id()));
            watch(&server, stops, &events);
            let status = server.wait();
            reap_orphans();
            if status.is_ok_and(|status| status.success()) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(reason) => {
            report(&format!("error {reason}"));
            ExitCode::FAILURE
        }
    }
}

/// To the parent; if that is gone, nobody needs to know.
fn report(line: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Why a supervisor has no server; said to the parent in one line.
#[derive(Debug, thiserror::Error)]
enum SuperviseError {
    #[error("this sub-command is for the program's own use")]
    Arguments,
    #[error("cannot run {}: {source}", program.display())]
    Spawn { program: OsString, source: io::Error },
    #[error("cannot watch the server: {source}")]
    Watch { source: io::Error },
}

enum Event {
    /// The parent asks for an orderly stop, or is gone.
    Stop,
    Kill,
    /// The server has ended, and every process it had started.
    Gone,
}

fn start(mut command: Command) -> Result<(Child, Receiver<Event>), SuperviseError> {
    // In a process group of its own the server does not get the terminal's Ctrl-C.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).current_dir("/");
    adopt_orphans();
    let mut server = command.spawn().map_err(|source| {
        let program = command.get_program().to_owned();
        SuperviseError::Spawn { program, source }
    })?;
    let (send, events) = channel();
    let output = server.stdout.take();
    let listening = ignore_signals()
        .map_err(io::Error::from)
        .and_then(|()| {
            in_thread({
                let send = send.clone();
                move || obey(&send)
            })
        })
        .and_then(|()| in_thread(move || wait_for_end(output, &send)));
    if let Err(source) = listening {
        let _ = server.kill();
        return Err(SuperviseError::Watch { source });
    }
    Ok((server, events))
}

/// Whoever signals us means the whole program, whose end we learn by our standard input. Done after
/// the server's start, which would else inherit it, and before the threads', which must.
fn ignore_signals() -> nix::Result<()> {
    SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT])
        .thread_block()
}

fn in_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().spawn(work).map(drop)
}

fn obey(send: &Sender<Event>) {
    let mut order = [0];
    loop {
        let event = match io::stdin().read(&mut order) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(1) if order[0] == KILL => Event::Kill,
            Ok(1) => continue,
            Ok(_) | Err(_) => Event::Stop,
        };
        let last = matches!(event, Event::Stop);
        if send.send(event).is_err() || last {
            return;
        }
    }
}

/// The server's standard output is a pipe that every process it starts inherits, so its end of
/// file is the end of the last of them: a killed postmaster's backends are waited for as well.
fn wait_for_end(output: Option<ChildStdout>, send: &Sender<Event>) {
    if let Some(mut output) = output {
        let _ = io::copy(&mut output, &mut io::stderr());
    }
    let _ = send.send(Event::Gone);
}

/// Till the server is gone. It is not reaped before, so its pid cannot have become another's.
fn watch(server: &Child, stops: Stops, events: &Receiver<Event>) {
    let Ok(pid) = i32::try_from(server.id()).map(Pid::from_raw) else { return };
    let mut stops = stops.iter();
    let mut patience = Duration::MAX;
    loop {
        match events.recv_timeout(patience) {
            Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Event::Kill) => signal(pid, Signal::SIGKILL),
            Ok(Event::Stop) | Err(RecvTimeoutError::Timeout) => {
                let next = stops.next();
                if let Some((next, _)) = next {
                    signal(pid, *next);
                }
                patience = next.map_or(Duration::MAX, |(_, patience)| *patience);
            }
        }
    }
}

/// Sends the signal; a SIGKILL to the server's children as well, since a backend whose postmaster
/// was killed would go on to the end of its statement.
fn signal(server: Pid, signal: Signal) {
    if signal == Signal::SIGKILL {
        // Stopped, it has no more children, and does not reap those it has: their pids stay theirs.
        let _ = kill(server, Signal::SIGSTOP);
        for child in children(server) {
            let _ = kill(child, signal);
        }
    }
    let _ = kill(server, signal);
}

fn children(of: Pid) -> Vec<Pid> {
    if let Ok(children) = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")) {
        return children.split_whitespace().filter_map(number).collect();
    }
    let Ok(all) = Command::new("ps").args(["-A", "-o", "ppid=", "-o", "pid="]).output() else {
        return Vec::new();
    };
    let all = String::from_utf8_lossy(&all.stdout);
    let pairs = all.lines().filter_map(|line| line.trim().split_once(' '));
    pairs
        .filter(|(parent, _)| number(parent) == Some(of))
        .filter_map(|(_, pid)| number(pid))
        .collect()
}

fn number(pid: &str) -> Option<Pid> {
    pid.trim().parse().ok().map(Pid::from_raw)
}

/// The children of a killed postmaster become ours: in a container the first process, whose they
/// would be, is seldom one that reaps.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

fn reap_orphans() {
    while nix::sys::wait::wait().is_ok() {}
}
