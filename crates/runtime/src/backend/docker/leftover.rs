//! The net under a start that fails or is dropped half-way.
//!
//! A container that was created and never started is removed by nobody: its stream is not open yet,
//! so its lease has not begun. And a worker that is still importing does not see its lease end.

use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions};

use super::transport::ask_now;
use crate::backend::folders::unique;
use crate::endpoint::Address;

/// How often a container is looked for whose creation was still under way.
const ATTEMPTS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(25);

/// A name that no other container has.
pub(super) fn unique_name() -> String {
    format!("flowgate-{}", unique())
}

/// Removes a container when it is dropped, unless something else sees to it. It does so
/// synchronously: nobody waits for a task that outlives the run.
#[derive(Debug)]
pub(super) struct Leftover {
    address: Address,
    name: String,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Creating,
    Created,
    SeenTo,
}

impl Leftover {
    /// A net under a container of that name, which is to be created now.
    pub(super) fn new(address: Address, name: String) -> Self {
        Self { address, name, state: State::Creating }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its name may change from now on, or be taken by another.
    pub(super) fn is_created_as(&mut self, id: &str) {
        id.clone_into(&mut self.name);
        self.state = State::Created;
    }

    pub(super) fn is_created(&mut self) {
        self.state = State::Created;
    }

    /// It came into use or was removed: its stream and its `Stop` see to it, or nothing is left.
    pub(super) fn is_seen_to(&mut self) {
        self.state = State::SeenTo;
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let attempts = match self.state {
            State::SeenTo => 0,
            State::Created => 1,
            // The engine goes on with a request whose client has gone.
            State::Creating => ATTEMPTS,
        };
        if attempts == 0 {
            return;
        }
        let name = &self.name;
        ask_now(&self.address, |engine| async move {
            for attempt in 0..attempts {
                if attempt > 0 {
                    tokio::time::sleep(BETWEEN).await;
                }
                // What cannot be removed now, the sweep of the next run will.
                let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                let removed = engine.remove_container(name, Some(options)).await;
                if !matches!(removed, Err(Error::DockerResponseServerError { status_code: 404, .. })) {
                    break;
                }
            }
        });
    }
}

/// Removes the images of the steps of a build that nothing is built upon, when it is dropped: a classic builder leaves
/// the last one where a step fails, and one for each stage.
#[derive(Debug)]
pub(super) struct Steps {
    address: Address,
    label: String,
    is_over: bool,
}

impl Steps {
    /// A net under a build whose steps have that label.
    pub(super) fn new(address: Address, label: String) -> Self {
        Self { address, label, is_over: false }
    }

    /// The engine is not at it any more.
    pub(super) fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        // The engine goes on with a build for a moment when its client has gone.
        let attempts = if self.is_over { 1 } else { ATTEMPTS };
        let label = self.label.as_str();
        ask_now(&self.address, |engine| async move {
            let filters = [("dangling", vec!["true"]), ("label", vec![label])].into_iter().collect();
            let options = ListImagesOptionsBuilder::new().filters(&filters).build();
            for attempt in 0..attempts {
                if attempt > 0 {
                    tokio::time::sleep(BETWEEN).await;
                }
                // What cannot be removed now, the sweep of the next build will.
                let Ok(images) = engine.list_images(Some(options.clone())).await else { break };
                for image in images {
                    let _ = engine.remove_image(&image.id, None::<RemoveImageOptions>, None).await;
                }
            }
        });
    }
}

/// Takes a name away from an image, where nothing can be awaited.
pub(super) fn remove_name(address: &Address, name: &str) {
    ask_now(address, |engine| async move {
        let _ = engine.remove_image(name, None::<RemoveImageOptions>, None).await;
    });
}
