//! What was logged: the logger of a test binary keeps records by thread.

use std::{cell::RefCell, sync::Once};

use log::{Level, LevelFilter, Log, Metadata, Record, kv};

#[derive(Debug)]
pub struct Entry {
    pub level: Level,
    pub text: String,
    pub keys: Vec<String>,
}

thread_local! {
    static ENTRIES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

struct Collector;

struct Keys(Vec<String>);

impl<'kvs> kv::VisitSource<'kvs> for Keys {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, _: kv::Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push(key.to_string());
        Ok(())
    }
}

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target() == "diesel_named_lock" {
            let mut keys = Keys(Vec::new());
            record.key_values().visit(&mut keys).unwrap();
            let entry = Entry { level: record.level(), text: record.args().to_string(), keys: keys.0 };
            ENTRIES.with_borrow_mut(|entries| entries.push(entry));
        }
    }

    fn flush(&self) {}
}

/// What `work` logs on this thread.
pub fn logged(work: impl FnOnce()) -> Vec<Entry> {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&Collector).unwrap();
        log::set_max_level(LevelFilter::Debug);
    });
    ENTRIES.take();
    work();
    ENTRIES.take()
}
