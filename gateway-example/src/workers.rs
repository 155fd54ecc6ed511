//! Threads that each serve connections by themselves.
//!
//! A connection stays on the thread that it was given to, with those to the instances that it needs: nothing that a request does wakes
//! another thread, and no queue of tasks is shared. What connections share is behind locks that are held for a few additions.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The threads, as many as there are cores for this process. What they do is given up when this is dropped.
#[derive(Debug)]
pub(crate) struct Workers {
    all: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
    // The thread ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

/// Counts a connection of a worker.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Workers {
    /// Starts them.
    ///
    /// # Errors
    ///
    /// When the system has no room for them.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let all = (0..cores).map(|_| Worker::start());
        Ok(Self {
            all: all.collect::<io::Result<_>>()?,
        })
    }

    /// Has a connection served, by who has the fewest.
    pub(crate) fn serve(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let load = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        let Some(worker) = self.all.iter().min_by_key(load) else {
            return;
        };
        let counted = Counted::begin(&worker.connections);
        worker.runtime.spawn(async move {
            let _counted = counted;
            connection.await;
        });
    }
}

impl Worker {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new()
            .name("gateway".to_owned())
            .spawn(move || {
                let _ = runtime.block_on(stopped);
                // What may block its thread is not waited for.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            runtime: handle,
            connections: Arc::default(),
            _stop: stop,
        })
    }
}

impl Counted {
    fn begin(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
