//! Faults that nobody reports: what waits notices by itself, goes on by itself, and a probe does not say
//! ready meanwhile. Each test waits for what is promised, with the promised time as its limit.

mod cut_commits;
mod half_open;
mod proxy;
mod roles;
