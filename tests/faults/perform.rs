//! Performs a scenario: within its time, and with every deviation reported.

use std::{
    any::Any,
    panic,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{
    report::Row,
    scenario::{Fate, Observed, Scenario},
    servers,
    stage::{Stage, catch},
};

/// What panics on purpose panics with this.
pub const ON_PURPOSE: &str = "on purpose";

/// Longer than anything that a scenario waits for.
const LIMIT: Duration = Duration::from_secs(90);

pub fn silence_panics_on_purpose() {
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref() != Some(&ON_PURPOSE) {
            others(info);
        }
    }));
}

/// # Errors
///
/// Everything in which the scenario was not as expected.
pub fn perform(scenario: &Scenario, report: &Mutex<Vec<Row>>) -> Result<(), String> {
    let stage = Stage::on(servers::for_fate(scenario.expected.server), scenario.kind);
    let server = format!("{} {}", stage.server.product(), stage.server.version());
    let start = Instant::now();
    let ended = within(LIMIT, scenario, stage);
    let took = start.elapsed();
    let (observed, differences) = match ended {
        Ok(observed) => {
            let differences = scenario.expected.differences(&observed);
            (Some(observed), differences)
        }
        Err(message) => (None, vec![message]),
    };
    report.lock().unwrap().push(Row {
        server,
        scenario: scenario.clone(),
        observed,
        took,
        differences: differences.clone(),
    });
    if differences.is_empty() { Ok(()) } else { Err(format!("{}: {}", scenario.name, differences.join("; "))) }
}

/// On a thread of its own: what hangs is left behind.
fn within(limit: Duration, scenario: &Scenario, stage: Stage) -> Result<Observed, String> {
    let (done, end) = mpsc::channel();
    let (run, fate) = (scenario.run, scenario.expected.server);
    let play = move || {
        let ended = catch(|| play(run, fate, stage));
        let _ = done.send(ended);
    };
    thread::Builder::new().name(scenario.name.into()).spawn(play).map_err(|error| error.to_string())?;
    match end.recv_timeout(limit) {
        Ok(ended) => ended.map_err(|panic| message(&*panic)),
        Err(_) => Err(format!("hangs, given up after {limit:?}")),
    }
}

fn play(run: fn(&Stage), fate: Fate, stage: Stage) -> Observed {
    run(&stage);
    // The sessions of a killed server are dead, all of them.
    let dead = fate == Fate::Killed;
    stage.check(stage.bystander_is_unharmed() != dead, "the bystander's session was harmed");
    if fate == Fate::Stopped {
        servers::give_back(Arc::clone(&stage.server));
    }
    stage.observed()
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
