//! Faults that nobody reports: what waits notices by itself, goes on by itself, and a probe does not say
//! ready meanwhile. Each test waits for what is promised, with the promised time as its limit.

mod clock;
mod cut_commits;
mod full_disk;
mod half_open;
mod hosts;
mod hung_leader;
mod outage_codes;
mod pooling;
mod probes;
mod proxy;
mod read_only;
mod roles;
