//! What is on the screen. No I/O.

use crossterm::event::KeyCode;
use diesel_named_lock::operator::GroupedLocks;
use unicode_width::UnicodeWidthChar;

use super::lookout::View;
use crate::{
    lock_rows::{HEADER, is_of_holder, rows, waiting},
    output::one_line,
};

/// The summary, the header, and the line at the bottom.
const AROUND: usize = 3;

pub struct Screen {
    rows: Vec<[String; 7]>,
    summary: String,
    /// Why what is shown is old.
    trouble: Option<String>,
    /// How many rows are above the first that is shown.
    above: usize,
    /// How many rows there is room for.
    room: usize,
}

/// As wide as the screen.
pub struct Line {
    pub text: String,
    pub is_bold: bool,
    pub is_reversed: bool,
}

impl Screen {
    pub fn of(seen: GroupedLocks) -> Self {
        let mut screen = Self { rows: Vec::new(), summary: String::new(), trouble: None, above: 0, room: 1 };
        screen.show(Ok(seen));
        screen
    }

    pub fn show(&mut self, view: View) {
        match view {
            Ok(seen) => {
                let of_locks = seen.locks.iter().map(|lock| lock.waiters.len()).sum::<usize>();
                let of_families = seen.families.iter().map(waiting).sum::<usize>();
                let locks = seen.locks.len() + seen.families.len();
                let waiting = seen.unassigned_waiters.len() + of_locks + of_families;
                self.summary = format!("named locks: {locks}, waiting sessions: {waiting}");
                self.rows = rows(&seen);
                self.trouble = None;
            }
            Err(why) => self.trouble = Some(one_line(&why)),
        }
    }

    pub fn scroll(&mut self, key: KeyCode) {
        let above = match key {
            KeyCode::Down => self.above + 1,
            KeyCode::Up => self.above.saturating_sub(1),
            KeyCode::PageDown => self.above + self.room,
            KeyCode::PageUp => self.above.saturating_sub(self.room),
            KeyCode::Home => 0,
            KeyCode::End => usize::MAX,
            _ => self.above,
        };
        self.above = above.min(self.furthest());
    }

    /// So that the last row is at the bottom.
    fn furthest(&self) -> usize {
        self.rows.len().saturating_sub(self.room)
    }

    pub fn lines(&mut self, columns: usize, lines: usize) -> Vec<Line> {
        self.room = lines.saturating_sub(AROUND).max(1);
        // The window or the list may have shrunk.
        self.above = self.above.min(self.furthest());
        let shown = self.rows.iter().skip(self.above).take(self.room);
        let below = self.rows.len() - self.above - shown.len();

        let top = self.trouble.as_ref().map_or_else(|| self.summary.clone(), |why| format!("NOT UP TO DATE: {why}"));
        let mut bottom = vec!["q quits".to_owned()];
        bottom.extend((self.above > 0).then(|| format!("{} above", self.above)));
        bottom.extend((below > 0).then(|| format!("{below} more")));

        let mut screen = vec![line(&top, columns), reversed(line(&row_text(HEADER, columns), columns))];
        screen.extend(shown.map(|cells| {
            let text = row_text(cells.each_ref().map(String::as_str), columns);
            Line { is_bold: is_of_holder(cells), ..line(&text, columns) }
        }));
        screen.resize_with(self.room + 2, || line("", columns));
        screen.push(reversed(line(&bottom.join("  "), columns)));
        screen
    }
}

fn row_text(cells: [&str; 7], columns: usize) -> String {
    // On a narrow screen, the names of the locks matter more than who holds them.
    let (user, host) = (if columns < 80 { 0 } else { 12 }, if columns < 100 { 0 } else { 16 });
    let between = [9, 8, user, host, 6];
    let gaps = cells.len() - 1;
    let rest = columns.saturating_sub(between.iter().sum::<usize>() + gaps);
    let lock = rest / 2;
    let widths = std::iter::once(lock).chain(between).chain([rest - lock]);
    cells.iter().zip(widths).map(|(cell, width)| fitted(cell, width)).collect::<Vec<_>>().join(" ")
}

fn line(text: &str, columns: usize) -> Line {
    Line { text: fitted(text, columns), is_bold: false, is_reversed: false }
}

fn reversed(line: Line) -> Line {
    Line { is_reversed: true, ..line }
}

/// Cut or filled up with blanks. Some characters take two columns, some none.
fn fitted(text: &str, columns: usize) -> String {
    let mut left = columns;
    let fits = |c: &char| match left.checked_sub(c.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.extend(std::iter::repeat_n(' ', left));
    cut
}
