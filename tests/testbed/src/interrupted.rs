//! What is said when a command is ended by Ctrl-C, or as a service manager ends it: what is left half done, and which command
//! goes on with it. All commands can be ended at any moment, so nothing is put right before the end.

use std::{process::exit, thread};

use hozen_testbed::error::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// That such an end is awaited.
pub struct Watch {
    command_ended: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Watch {
    /// From here on such an end says what `left` gives then. The program ends as a shell expects: with 128 and the signal's number.
    pub fn begin(left: impl FnOnce() -> String + Send + 'static) -> Result<Self, Error> {
        let failed = || Error::io("wait for Ctrl-C");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(failed())?;
        let (mut interrupt, mut terminate) = {
            // Signals can be asked for only where they will be waited for.
            let _inside = runtime.enter();
            let one = |kind| signal(kind).map_err(failed());
            (one(SignalKind::interrupt())?, one(SignalKind::terminate())?)
        };
        let (command_ended, ended) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let code = runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = interrupt.recv() => 130,
                    _ = terminate.recv() => 143,
                    _ = ended => 0,
                }
            });
            if code == 0 {
                return;
            }
            // On a line of its own: a terminal has shown ^C, or a step may be half told. A closed stderr is no reason to stay.
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("\nhozen-testbed: interrupted; {}\n", left()).as_bytes(),
            );
            exit(code)
        });
        Ok(Self { command_ended, thread })
    }

    /// The command has ended by itself, it seems: if it failed because Ctrl-C has ended a program that it called, that is said.
    pub fn end(self) {
        drop(self.command_ended);
        let _ = self.thread.join();
    }
}
