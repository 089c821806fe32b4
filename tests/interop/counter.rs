//! A number in a file, which nothing protects.

use std::{fs, thread, time::Duration};

use tempfile::NamedTempFile;

pub struct Counter(NamedTempFile);

impl Counter {
    pub fn new() -> Self {
        let counter = Self(NamedTempFile::new().expect("a file"));
        fs::write(counter.path(), "0").expect("a file");
        counter
    }

    pub fn path(&self) -> &str {
        self.0.path().to_str().expect("UTF-8")
    }

    /// `None`: somebody is writing.
    fn read(&self) -> Option<u32> {
        fs::read_to_string(self.path()).expect("a file").parse().ok()
    }

    pub fn value(&self) -> u32 {
        self.read().expect("a number")
    }

    /// As the clients do: long enough for another one to come in between.
    pub fn increment(&self) {
        let value = self.read().unwrap_or(0);
        thread::sleep(Duration::from_millis(1));
        fs::write(self.path(), (value + 1).to_string()).expect("a file");
    }
}
