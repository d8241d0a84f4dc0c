//! Images from registries and environments shared through them: a real engine, Debian's registry, and fakes of broken
//! ones.
#![cfg(unix)]

mod base;
mod broken;
mod cache;
mod place;
mod update;

/// One test at a time: they compare what the engine holds before and after.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
