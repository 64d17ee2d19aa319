use std::sync::mpsc;

use super::*;

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(60);

/// An output that waits for permission before each write, and says what it was asked to write.
struct Gate {
    asked: mpsc::Sender<Vec<u8>>,
    answers: mpsc::Receiver<io::Result<usize>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.asked.send(bytes.to_vec()).map_err(io::Error::other)?;
        self.answers.recv().map_err(io::Error::other)?
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Gated {
    queue: Arc<Queue>,
    asked: mpsc::Receiver<Vec<u8>>,
    answer: mpsc::Sender<io::Result<usize>>,
}

fn gated(capacity: usize) -> Gated {
    let ((asked, was_asked), (answer, answers)) = (mpsc::channel(), mpsc::channel());
    let queue = Queue::start(Box::new(Gate { asked, answers }), capacity).unwrap();
    Gated { queue, asked: was_asked, answer }
}

fn balances(figures: Figures) -> bool {
    figures.accepted == figures.written + figures.pending + figures.full + figures.failed
}

#[test]
fn who_logs_waits_for_nothing_and_what_finds_no_room_is_counted() {
    let Gated { queue, asked, answer } = gated(10);
    queue.push(b"1234\n");
    assert_eq!(asked.recv().unwrap(), b"1234\n");
    // The output hangs now. One more line has room, the next one has not.
    queue.push(b"2345\n");
    queue.push(b"3456\n");
    let figures = queue.figures();
    assert_eq!((figures.pending, figures.full), (2, 1));
    assert!(balances(figures));
    assert!(!queue.is_idle());
    queue.wait(Duration::ZERO);
    answer.send(Ok(5)).unwrap();
    assert_eq!(asked.recv().unwrap(), b"2345\n");
    answer.send(Ok(5)).unwrap();
    queue.wait(LONG);
    assert_eq!(queue.figures(), Figures { accepted: 3, written: 2, full: 1, ..Figures::default() });
}

#[test]
fn a_line_that_was_torn_by_a_failure_does_not_run_into_the_next() {
    let Gated { queue, asked, answer } = gated(1000);
    queue.push(b"first\n");
    asked.recv().unwrap();
    queue.push(b"second\n");
    queue.push(b"third\n");
    answer.send(Ok(6)).unwrap();
    // Half of the second, then the disk is full.
    assert_eq!(asked.recv().unwrap(), b"second\nthird\n");
    answer.send(Ok(3)).unwrap();
    assert_eq!(asked.recv().unwrap(), b"ond\nthird\n");
    answer.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    queue.wait(LONG);
    assert_eq!(queue.figures(), Figures { accepted: 3, written: 1, failed: 2, ..Figures::default() });
    assert!(queue.last_failure().is_some());

    queue.push(b"fourth\n");
    assert_eq!(asked.recv().unwrap(), b"\n");
    answer.send(Ok(1)).unwrap();
    assert_eq!(asked.recv().unwrap(), b"fourth\n");
    answer.send(Ok(7)).unwrap();
    queue.wait(LONG);
    assert_eq!(queue.figures().written, 2);
    assert_eq!(queue.last_failure(), None, "it works again");
}

#[test]
fn a_write_that_was_interrupted_or_would_block_is_repeated_and_one_that_takes_nothing_has_failed() {
    let Gated { queue, asked, answer } = gated(1000);
    queue.push(b"line\n");
    asked.recv().unwrap();
    for again in [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock] {
        answer.send(Err(again.into())).unwrap();
        assert_eq!(asked.recv().unwrap(), b"line\n");
    }
    answer.send(Ok(0)).unwrap();
    queue.wait(LONG);
    assert_eq!(queue.figures().failed, 1);
}

#[test]
fn waiting_is_for_what_was_there_and_not_for_what_finds_no_room_meanwhile() {
    let Gated { queue, asked, answer } = gated(5);
    queue.push(b"1234\n");
    asked.recv().unwrap();
    (0..10).for_each(|_| queue.push(b"full\n"));
    queue.wait(Duration::ZERO);
    assert_eq!(queue.figures().pending, 1, "ten that were dropped are no reason to stop waiting for one");
    answer.send(Ok(5)).unwrap();
    queue.wait(LONG);
    assert_eq!(queue.figures().pending, 0);
}

#[test]
fn an_output_that_panics_is_one_that_fails() {
    struct Panics(bool);
    impl Write for Panics {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(std::mem::replace(&mut self.0, true), "the first write panics");
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let queue = Queue::start(Box::new(Panics(false)), 1000).unwrap();
    queue.push(b"lost\n");
    queue.wait(LONG);
    assert!(queue.last_failure().unwrap().contains("panicked"));
    queue.push(b"written\n");
    queue.wait(LONG);
    assert_eq!(queue.figures(), Figures { accepted: 2, written: 1, failed: 1, ..Figures::default() });
}

#[test]
fn what_is_left_is_written_after_the_last_handle_is_gone() {
    let Gated { queue, asked, answer } = gated(1000);
    queue.push(b"last\n");
    queue.abandon();
    drop(queue);
    assert_eq!(asked.recv().unwrap(), b"last\n");
    answer.send(Ok(5)).unwrap();
    assert!(asked.recv().is_err(), "the thread has ended and dropped the output");
}
