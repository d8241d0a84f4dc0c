//! `flowgate runtime`: runtimes that stay, on an engine of the test's own.
#![cfg(unix)]

mod computes;
mod faults;
mod page;
mod place;
