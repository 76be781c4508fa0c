//! Live tests: the real binary, a real Postgres, a real nats-server.

mod bad_input;
mod bench;
mod command_line;
mod crashes;
mod demo;
mod deploys;
mod house;
mod letters;
mod operating;
mod operators;
mod outbox;
mod permissions;
mod plan;
mod pressure;
mod raw_worker;
mod replays;
mod starts;
mod status;
mod top;
mod traces;
mod transport;
mod triggers;
mod trip;
mod trip_crashes;
mod versions;
mod waiting;
