//! What happened in a storm: lines of one file, which threads and processes append to.
//!
//! A line is one `write`, and the kernel has it when the writer is killed.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::ValueEnum;
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on the clock that all processes of a machine share.
pub type Nanos = u64;

pub fn now() -> Nanos {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thread {
    pub process: u32,
    pub thread: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionId {
    pub of: Thread,
    pub number: u32,
}

/// How a section ended, as its caller knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Outcome {
    /// Exclusive to the end.
    Ok,
    /// Exclusive to the end, too, but a transaction was open.
    LeftOpen,
    Lost,
    /// It did not wait, and the lock was not free.
    Busy,
    Timeout,
    NoMajority,
    /// The closure failed. Whether the lock was lost is only logged.
    WorkFailed,
    Panicked,
    /// The guard was dropped.
    Dropped,
    /// Nothing in a storm may lead to this.
    Impossible,
}

impl Outcome {
    /// Whether the caller was told that nobody else had the lock until the end.
    pub fn is_exclusive(self) -> bool {
        matches!(self, Self::Ok | Self::LeftOpen)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Asked {
        id: SectionId,
        at: Nanos,
        timeout: Nanos,
    },
    /// The closure runs.
    Began {
        id: SectionId,
        at: Nanos,
    },
    /// Its caller has its outcome. `over`: when the closure did the last thing.
    Ended {
        id: SectionId,
        at: Nanos,
        over: Option<Nanos>,
        outcome: Outcome,
    },
    /// Its sections have no end.
    Killed {
        process: u32,
    },
    /// It was stopped for this time.
    Frozen {
        process: u32,
        from: Nanos,
        to: Nanos,
    },
    /// A violation that was seen at once.
    Found {
        process: u32,
        what: String,
    },
}

/// Appends to the file.
#[derive(Clone)]
pub struct Log(Arc<File>);

impl Log {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(File::options().append(true).create(true).open(path)?)))
    }

    pub fn write(&self, event: &Event) {
        (&*self.0).write_all(format!("{event}\n").as_bytes()).expect("the history");
    }
}

/// Follows the file.
pub struct Tail {
    file: File,
    /// The beginning of a line.
    rest: Vec<u8>,
}

impl Tail {
    pub fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, rest: Vec::new() })
    }

    pub fn read(&mut self) -> Vec<Event> {
        self.file.read_to_end(&mut self.rest).expect("the history");
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        let lines = String::from_utf8(lines).expect("text");
        lines.lines().map(|line| Event::parse(line).unwrap_or_else(|| panic!("no event: {line:?}"))).collect()
    }
}

/// A file that is removed at the end.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("history")
    }
}

/// A section, of what its events say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    pub id: SectionId,
    pub asked: Nanos,
    pub timeout: Nanos,
    pub began: Option<Nanos>,
    pub over: Option<Nanos>,
    pub ended: Option<(Nanos, Outcome)>,
}

impl Section {
    pub fn outcome(&self) -> Option<Outcome> {
        self.ended.map(|(_, outcome)| outcome)
    }
}

pub fn sections(events: &[Event]) -> Vec<Section> {
    let mut sections = BTreeMap::new();
    for event in events {
        match *event {
            Event::Asked { id, at, timeout } => {
                let asked = Section { id, asked: at, timeout, began: None, over: None, ended: None };
                assert!(sections.insert(id, asked).is_none(), "{id} twice");
            }
            Event::Began { id, at } => sections.get_mut(&id).expect("it has asked").began = Some(at),
            Event::Ended { id, at, over, outcome } => {
                let section: &mut Section = sections.get_mut(&id).expect("it has asked");
                (section.over, section.ended) = (over, Some((at, outcome)));
            }
            Event::Killed { .. } | Event::Frozen { .. } | Event::Found { .. } => {}
        }
    }
    sections.into_values().collect()
}

impl fmt::Display for SectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.of.process, self.of.thread, self.number)
    }
}

impl SectionId {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        let of = Thread { process: numbers.next()??, thread: numbers.next()?? };
        Some(Self { of, number: numbers.next()?? })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { id, at, timeout } => write!(f, "asked {id} {at} {timeout}"),
            Self::Began { id, at } => write!(f, "began {id} {at}"),
            Self::Ended { id, at, over, outcome } => {
                let over = over.map_or_else(|| "-".to_owned(), |over| over.to_string());
                write!(f, "ended {id} {at} {over} {}", outcome.to_possible_value().expect("a word").get_name())
            }
            Self::Killed { process } => write!(f, "killed {process}"),
            Self::Frozen { process, from, to } => write!(f, "frozen {process} {from} {to}"),
            Self::Found { process, what } => write!(f, "found {process} {}", what.replace('\n', " / ")),
        }
    }
}

impl Event {
    /// `None` if the line is none that was written here.
    pub fn parse(line: &str) -> Option<Self> {
        let (what, rest) = line.split_once(' ')?;
        let words: Vec<&str> = rest.split(' ').collect();
        let number = |place: usize| words.get(place)?.parse().ok();
        let process = || words.first()?.parse().ok();
        let id = || SectionId::parse(words.first()?);
        Some(match what {
            "asked" => Self::Asked { id: id()?, at: number(1)?, timeout: number(2)? },
            "began" => Self::Began { id: id()?, at: number(1)? },
            "ended" => {
                let outcome = Outcome::from_str(words.get(3)?, false).ok()?;
                Self::Ended { id: id()?, at: number(1)?, over: number(2), outcome }
            }
            "killed" => Self::Killed { process: process()? },
            "frozen" => Self::Frozen { process: process()?, from: number(1)?, to: number(2)? },
            "found" => Self::Found { process: process()?, what: rest.split_once(' ')?.1.to_owned() },
            _ => return None,
        })
    }
}

#[test]
fn what_is_written_is_read() {
    let scratch = Scratch::new();
    let log = Log::open(&scratch.path()).unwrap();
    let mut tail = Tail::of(&scratch.path()).unwrap();
    let id = SectionId { of: Thread { process: 70_000, thread: 2 }, number: 3 };
    let events = [
        Event::Asked { id, at: 1, timeout: 2 },
        Event::Began { id, at: u64::MAX },
        Event::Ended { id, at: 3, over: Some(2), outcome: Outcome::LeftOpen },
        Event::Ended { id, at: 3, over: None, outcome: Outcome::NoMajority },
        Event::Killed { process: 4 },
        Event::Frozen { process: 4, from: 5, to: 6 },
        Event::Found { process: 4, what: "two words / and more".into() },
    ];
    for event in &events {
        log.write(event);
        assert_eq!(tail.read(), std::slice::from_ref(event));
    }
    (&*log.0).write_all(b"killed 1").unwrap();
    assert_eq!(tail.read(), []);
    (&*log.0).write_all(b"2\n").unwrap();
    assert_eq!(tail.read(), [Event::Killed { process: 12 }]);
}
