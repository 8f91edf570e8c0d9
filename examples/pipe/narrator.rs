//! Standard error, written by a thread of its own: whoever does not read it must not keep the program
//! from ending in time.

use std::io::{self, Write};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Lines that may wait to be written.
const WAITING: usize = 256;

/// Tells what goes wrong; a clone tells it to the same place.
#[derive(Clone)]
pub(crate) struct Narrator(mpsc::Sender<Note>);

enum Note {
    Text(Vec<u8>),
    /// To be answered when everything before is written.
    Done(oneshot::Sender<()>),
}

impl Narrator {
    pub(crate) fn start() -> io::Result<Self> {
        let (narrator, mut notes) = mpsc::channel(WAITING);
        let write = move || {
            while let Some(note) = notes.blocking_recv() {
                match note {
                    // nobody has to listen
                    Note::Text(text) => drop(io::stderr().write_all(&text)),
                    Note::Done(done) => drop(done.send(())),
                }
            }
        };
        std::thread::Builder::new()
            .name("stderr".to_owned())
            .spawn(write)?;
        Ok(Self(narrator))
    }

    /// Tells this, and waits where it must, but only until `enough`: an event that waits behind a
    /// complaint is worth more than the complaint.
    pub(crate) async fn tell(&self, message: String, enough: impl Future<Output = ()>) {
        tokio::select! { biased;
            // the thread ends after the last narrator only
            Ok(place) = self.0.reserve() => place.send(Note::Text((message + "\n").into())),
            () = enough => {}
        }
    }

    /// Waits until everything told so far is written, or `at_most` that long.
    pub(crate) async fn finish(&self, at_most: Duration) {
        let all_written = async {
            let (done, written) = oneshot::channel();
            if self.0.send(Note::Done(done)).await.is_ok() {
                let _ = written.await;
            }
        };
        let _ = timeout(at_most, all_written).await;
    }
}

/// For the engine's log, each write of which is a line: left out when there is no room.
impl Write for Narrator {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(Note::Text(text.to_vec()));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
