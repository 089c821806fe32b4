//! What is on the screen.

use diesel_named_lock::{SessionInfo, operator::NamedLocks};
use ratatui::{
    Frame,
    layout::Constraint,
    style::{Style, Stylize},
    widgets::{Block, Row, Table},
};

/// A row for each lock, with those who wait for it below.
pub fn draw(frame: &mut Frame<'_>, title: &str, seen: &NamedLocks) {
    let rows = seen.locks.iter().flat_map(|lock| {
        let holder = lock.holder.as_ref().map(|holder| row(&lock.name, "holds", holder).bold());
        let nobody = || Row::new([lock.name.as_str(), "between two holders"]);
        let waiters = lock.waiters.iter().map(|waiter| row("", "waits", waiter));
        [holder.unwrap_or_else(nobody)].into_iter().chain(waiters)
    });
    let unassigned_waiters = seen.unassigned_waiters.iter().map(|waiter| row("?", "waits", waiter));
    let waiting = seen.unassigned_waiters.len() + seen.locks.iter().map(|lock| lock.waiters.len()).sum::<usize>();

    let [does, conn, user, time] = [5, 8, 12, 5].map(Constraint::Length);
    let widths = [Constraint::Fill(2), does, conn, user, time, Constraint::Fill(3)];
    let header = Row::new(["LOCK", "", "CONN", "USER", "FOR", "STATEMENT"]).style(Style::new().reversed());
    let summary = format!(" {title}: {} held, {waiting} waiting ", seen.locks.len());
    let table = Table::new(rows.chain(unassigned_waiters), widths).header(header);
    frame.render_widget(table.block(Block::bordered().title(summary).title_bottom(" q quits ")), frame.area());
}

fn row(lock: &str, does: &'static str, session: &SessionInfo) -> Row<'static> {
    let statement = session.statement.as_deref().unwrap_or("idle");
    Row::new([
        lock.to_owned(),
        does.to_owned(),
        session.connection_id.to_string(),
        session.user.clone().unwrap_or_default(),
        session.state_for.map(|time| format!("{}s", time.as_secs())).unwrap_or_default(),
        statement.split_whitespace().collect::<Vec<_>>().join(" "),
    ])
}
